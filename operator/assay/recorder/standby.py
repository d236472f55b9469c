"""`python -m assay.recorder.standby`: finishes the record of a recorder that was killed.

A second sidecar of the pod, in front of the recorder: the kubelet stops it after the recorder, and restarts neither
once the training has ended. It sleeps until SIGTERM. If the recorder has finished, it exits; otherwise it records
what the spool and the folders still hold. It imports nothing large before that, because it sleeps in every pod.
"""

# ruff: noqa: E402 (see below)
import signal

_END = {signal.SIGTERM, signal.SIGINT}
if __name__ == "__main__":
    # Process 1 of a container drops signals that it neither blocks nor handles. Not in a process that imports this
    # module: its children would inherit the mask.
    signal.pthread_sigmask(signal.SIG_BLOCK, _END)
    signal.signal(signal.SIGTERM, lambda *_: None)

import os
import sys

WARNING = "the recorder ended before the record was complete; the standby completed it"


def main() -> int:
    """Sleep until SIGTERM, then finish the record if necessary. The exit codes are those of the recorder."""
    signal.sigwait(_END)
    return _finish()


def _finish() -> int:
    from dataclasses import replace

    from assay.recorder.log import Log
    from assay.recorder.session import Session
    from assay.recorder.settings import Settings, SettingsError
    from assay.recorder.spool import remaining

    log = Log(sys.stdout)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        log.error(str(error))  # noqa: TRY400 (one line, no traceback)
        return 2
    log.bind(pod=settings.pod, prefix=settings.prefix)
    settings = replace(settings, left_seconds=remaining(settings.spool, settings.grace_seconds))
    try:
        return Session(settings, log, ended=lambda _: True, leave=os._exit, warning=WARNING).run()
    except Exception as error:
        log.error(f"the standby failed: {type(error).__name__}: {error}")  # noqa: TRY400
        return 1


if __name__ == "__main__":
    # Do not wait for threads that are still blocked on a store that does not answer.
    os._exit(main())
