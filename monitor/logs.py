"""Log lines on stderr: readable text, or one JSON object each."""

from __future__ import annotations

import json
import logging
import sys

from monitor.time import to_rfc3339


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = to_rfc3339(int(record.created) * 1_000_000)
        text = f"{at} {record.levelname.lower():7} {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        row = {"time": to_rfc3339(int(record.created * 1e6)), "level": record.levelname.lower()}
        row |= {"logger": record.name, "thread": record.threadName or "", "message": record.getMessage()}
        if record.exc_info:
            row["exception"] = self.formatException(record.exc_info)
        return json.dumps(row)


def configure(level: int, json_lines: bool) -> None:
    """Send everything at or over ``level`` to stderr; other libraries only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if json_lines else _Text())
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
    logging.getLogger("monitor").setLevel(level)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)  # skipped ticks are counted, not logged
