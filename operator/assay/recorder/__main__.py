"""`python -m assay.recorder`: the process, with its signals and exit code."""

# ruff: noqa: E402 (see below)
import signal

# Before any slow import. The kernel drops signals that process 1 of a container neither blocks nor handles; blocked
# signals stay pending until sigtimedwait fetches them.
_END = {signal.SIGTERM, signal.SIGINT}
if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, _END)
    signal.signal(signal.SIGTERM, lambda *_: None)

import os
import sys
import time

from assay.recorder.log import Log
from assay.recorder.session import Session
from assay.recorder.settings import Settings, SettingsError


def _ended(seconds: float) -> bool:
    """Wait for at most this many seconds. True if a termination signal arrived."""
    return signal.sigtimedwait(_END, max(0.0, seconds)) is not None


def main() -> int:
    """Record until SIGTERM, then finish. Exit codes: 0 complete record, 1 incomplete record, 2 invalid settings."""
    log = Log(sys.stdout)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        log.error(str(error))  # noqa: TRY400 (one line, no traceback)
        return 2
    log.bind(pod=settings.pod, prefix=settings.prefix)
    try:
        return Session(settings, log, ended=_ended, leave=os._exit).run()
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        log.error(f"the recorder failed and will be restarted: {reason}")  # noqa: TRY400
        time.sleep(1)  # the kubelet does not delay the first restart
        return 1


if __name__ == "__main__":
    # Do not wait for threads that are still blocked on a store that does not answer.
    os._exit(main())
