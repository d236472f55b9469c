"""The signature over a version's bytes: created at registration, and verified again before an alias moves."""

from typing import Any

from assay.api import names
from assay.api.modelversion import ModelVersionStatus, SignatureStatus
from assay.api.objects import Raw
from assay.controllers.runtime.clock import now
from assay.controllers.runtime.parts import SigningParts
from assay.controllers.runtime.queue import Key
from assay.controllers.runtime.tracking_cache import place
from assay.planning.conditions import flag
from assay.planning.models import versions
from assay.planning.models.versions import Flag
from assay.signing import stored
from assay.signing.errors import KeyUnknown, KeyUnusable, NoKey, SigningError
from assay.signing.keys import Keyring
from assay.signing.stored import Signed
from assay.store.errors import RecordError, StoreError
from assay.store.layout import ModelKey

_RETRY_SECONDS = 15.0
_REASONS: dict[type[Exception], str] = {
    NoKey: names.NO_KEY,
    KeyUnusable: names.KEY_UNUSABLE,
    KeyUnknown: names.KEY_UNKNOWN,
}


async def attend(context: SigningParts, body: Raw, status: ModelVersionStatus) -> ModelVersionStatus:
    """Return the status of a version with an up-to-date condition Signed. Signs a version that has no signature.

    Never raises: an unsigned version is still a version. When the store is unreachable, the version is requeued.
    """
    uid = body["metadata"]["uid"]
    if status.registered is None or (uid not in context.registry.unverified and _is_settled(context, status)):
        return status
    context.registry.unverified.discard(uid)
    try:
        signed = await _ask(context, stored.sign_version, body)
    except StoreError as error:
        context.queue.add(Key(names.MODEL_VERSION, *place(body)), _RETRY_SECONDS)
        found: Flag = ("Unknown", names.STORE_UNREACHABLE, f"retrying in {_RETRY_SECONDS:.0f} s: {error}")
        return _signed(body, status, found, status.signature)
    except (SigningError, RecordError) as error:
        return _signed(body, status, flag(False, _REASONS.get(type(error), names.SIGNATURE_INVALID), str(error)), None)
    text = f"{signed.uri}, key {signed.key}"
    return _signed(body, status, flag(True, names.VERIFIED, text), SignatureStatus(uri=signed.uri, key_id=signed.key))


def _is_settled(context: SigningParts, status: ModelVersionStatus) -> bool:
    """Whether the condition Signed is still valid: its key is still known, or there is still no signing key."""
    try:
        keyring = context.keys.current()
    except KeyUnusable:
        return False
    known = {condition.type: condition for condition in status.conditions}.get(names.SIGNED)
    if known is None:
        return False
    if known.status == "True" and status.signature is not None:
        return status.signature.key_id in keyring.public
    return known.reason == names.NO_KEY and keyring.private is None


def _signed(
    body: Raw, status: ModelVersionStatus, found: Flag, signature: SignatureStatus | None
) -> ModelVersionStatus:
    return versions.signed(status, found, signature, generation=body["metadata"]["generation"], now=now())


async def why_unsigned(context: SigningParts, body: Raw) -> str:
    """Verify the signature over a version. Return "" if it is valid, else a message.

    Raises StoreError when the store cannot be read.
    """
    try:
        await _ask(context, stored.check_version, body)
        why = ""
    except SigningError as error:
        why = str(error)
    conditions = (body.get("status") or {}).get("conditions") or []
    if any(each["type"] == names.SIGNED and each["status"] == "True" for each in conditions) != (not why):
        # The version's condition Signed is outdated.
        context.registry.unverified.add(body["metadata"]["uid"])
        context.queue.add(Key(names.MODEL_VERSION, *place(body)))
    return why


async def _ask(context: SigningParts, function: Any, body: Raw) -> Signed:
    spec, (namespace, _) = body["spec"], place(body)
    keyring: Keyring = context.keys.current()
    version = ModelKey(namespace, spec["model"], spec["version"])
    found: Signed = await context.store.run(
        function, context.store.blocking, keyring, version, spec["artifact"]["digest"]
    )
    return found
