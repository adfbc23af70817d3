"""The server's log: a line of JSON for everything, in the words of Google Cloud's logging."""

from __future__ import annotations

import datetime
import json
import logging
import sys

# What every record has; anything else was given with ``extra``.
_USUAL = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "color_message"}


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON, what was given with ``extra`` beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Writes one record."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": time.isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _USUAL}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure() -> None:
    """Has the whole process log as JSON to stderr, warnings of libraries included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    # One line for every request that huggingface_hub or fsspec sends is of no use to anybody.
    logging.getLogger("httpx").setLevel(logging.WARNING)


def configure_transformers() -> None:
    """Has transformers log as everything else does, and draw no bars."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_default_handler()
    transformers_logging.enable_propagation()
    transformers_logging.disable_progress_bar()
