"""``python -m assay.controllers``: run the operator, configured by ASSAY_* variables."""

import gc

# What modules define stays as long as the process. Collections during imports find nothing, and take a third of them.
if __name__ == "__main__":
    gc.disable()

import asyncio
import json
import logging
import os
import sys
from datetime import UTC, datetime

from assay.controllers import tracing
from assay.controllers.operator import main
from assay.controllers.settings import Settings
from assay.store.config import ConfigError

_FIELDS = ("kind", "namespace", "object", "uid")


class JsonLines(logging.Formatter):
    """Formats one JSON object per line; the object that a message is about has fields of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in _FIELDS if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _soften(record: logging.LogRecord) -> bool:
    """Make kopf's errors about requests that it repeats warnings: the outage ends by itself."""
    if record.levelno == logging.ERROR and record.name.startswith("kopf") and "Request attempt" in record.getMessage():
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _set_up_logging(level: str) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    handler.addFilter(_soften)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # kopf logs every step of every object at INFO.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)


def run() -> int:
    """Read the configuration and run the operator. Return the exit code: 2 for an invalid configuration."""
    try:
        settings = Settings.from_environment(os.environ)
    except ConfigError as error:
        sys.stderr.write(f"assay: {error}\n")
        return 2
    _set_up_logging(os.environ.get("ASSAY_LOG_LEVEL", "INFO"))
    tracing.start()
    try:
        asyncio.run(main(settings))
    finally:
        tracing.stop()
    return 0


if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    sys.exit(run())
