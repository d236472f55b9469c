"""`python -m assay.recorder`: the process. Signals and the exit code live here and nowhere else."""

# ruff: noqa: E402 (see below)
import signal

# Before any import that takes time. The kernel drops signals for process 1 of a container that it neither blocks
# nor handles; blocked ones wait until they are asked for.
_END = {signal.SIGTERM, signal.SIGINT}
signal.pthread_sigmask(signal.SIG_BLOCK, _END)
signal.signal(signal.SIGTERM, lambda *_: None)

import os
import sys
import time

from assay.recorder.log import Log
from assay.recorder.session import Session
from assay.recorder.settings import Settings, SettingsError


def _ended(seconds: float) -> bool:
    """Wait for at most this long. True when the end was asked for."""
    return signal.sigtimedwait(_END, max(0.0, seconds)) is not None


def main() -> int:
    """Record until SIGTERM, then finish. 0: the record is complete; 1: it is not; 2: bad settings."""
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
        log.error(f"the recorder has failed and will be restarted: {reason}")  # noqa: TRY400
        time.sleep(1)  # the kubelet restarts at once for the first time
        return 1


if __name__ == "__main__":
    # Threads may still wait for a store that does not answer; nothing that they hold is worth waiting for.
    os._exit(main())
