"""`python -m assay.fetch`: the process, with its signals, termination message and exit code.

It fetches data sets if ASSAY_FETCH_DATASETS is set, otherwise a model.

Exit codes: 0 the files are verified and at ASSAY_FETCH_DIR, 1 the model is not the approved one or does not fit on the
volume, 2 invalid settings, 3 the store could not be read, 4 the digest of a data set differs from the declared one,
5 a data set does not exist.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from assay.fetch.errors import FetchError, Mismatch, Missing, SettingsError, StoreSilent
from assay.fetch.settings import Settings

_MAX_MESSAGE_BYTES = 4000  # the kubelet truncates at 4096


def main() -> int:
    """Fetch. A failure is reported as one line."""
    # As process 1 of a container, it would otherwise ignore this signal.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    try:
        if os.environ.get("ASSAY_FETCH_DATASETS"):
            _fetch_datasets()
        else:
            _fetch(Settings.from_environment(os.environ))
    except SettingsError as error:
        return _fail(str(error), 2)
    except StoreSilent as error:
        return _fail(str(error), 3)
    except FetchError as error:
        return _fail(str(error), {Mismatch: 4, Missing: 5}.get(type(error), 1))
    except Exception as error:
        return _fail(f"the fetch failed: {type(error).__name__}: {error}", 1)
    return 0


def _fetch(settings: Settings) -> None:
    # Imported here, so that settings are validated before the libraries are loaded.
    from assay.fetch.fetching import fetch

    fetch(settings, _say)


def _fetch_datasets() -> None:
    from assay.fetch.dataset_settings import DatasetSettings

    settings = DatasetSettings.from_environment(os.environ)

    from assay.fetch.datasets import fetch_datasets

    fetch_datasets(settings, _say)


def _fail(reason: str, code: int) -> int:
    line = " ".join(reason.split())
    _say(line)
    with suppress(OSError):
        Path(os.environ.get("ASSAY_TERMINATION_LOG") or "/dev/termination-log").write_bytes(
            line.encode("utf-8", "replace")[:_MAX_MESSAGE_BYTES]
        )
    return code


def _say(line: str) -> None:
    with suppress(OSError, ValueError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
