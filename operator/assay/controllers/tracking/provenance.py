"""Sign the provenance of a run's model, and store it next to the run's manifest.

A signing error does not make the run fail; the condition Signed reports it.
"""

from assay import __version__
from assay.api import names
from assay.api.objects import Raw
from assay.api.run_status import RunStatus
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import RunParts
from assay.planning.conditions import flag
from assay.planning.runs import outcome, provenance
from assay.planning.runs.provenance import Builder
from assay.signing import stored
from assay.signing.errors import KeyUnusable, NoKey, SigningError
from assay.store import layout
from assay.store.errors import StoreError, StoreUnavailable


async def attest(context: RunParts, run: Raw, status: RunStatus) -> RunStatus:
    """Return the final status of a Run, with the condition Signed if the run produced a model.

    Raises StoreUnavailable; the run then stays unfinished and is reconciled again.
    """
    if status.phase != "Succeeded" or status.model is None:
        return status
    builder = Builder(context.settings.signing.builder, __version__)
    # In the JSON form that readers see, including numbers.
    statement = provenance.statement({**run, "status": status.to_dict()}, builder)
    try:
        signed = await context.store.run(
            stored.sign_provenance,
            context.store.blocking,
            context.keys.current(),
            layout.prefix_of(run),
            statement,
        )
        found = flag(True, names.VERIFIED, f"{signed.uri}, key {signed.key}")
    except StoreUnavailable:
        raise
    except NoKey as error:
        found = flag(False, names.NO_KEY, str(error))
    except KeyUnusable as error:
        found = flag(False, names.KEY_UNUSABLE, str(error))
    except (SigningError, StoreError) as error:
        found = flag(False, names.SIGNATURE_INVALID, str(error))
    return outcome.with_condition(status, names.SIGNED, found, generation=run["metadata"]["generation"], now=now())
