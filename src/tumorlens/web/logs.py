"""Logs: a JSON object a line on stderr. What is written is chosen field by field; no message quotes a file."""

from __future__ import annotations

import logging
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from tumorlens.errors import trace_of


class _Formatter(JsonFormatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """Where it happened, without what it says."""
        return trace_of(ei[1])


def set_up(level: str = "INFO") -> None:
    """Has the page's loggers, and uvicorn's errors, write JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        _Formatter(
            "{asctime}{levelname}{name}{message}", style="{", rename_fields={"asctime": "at", "levelname": "level"}
        )
    )
    for name in ("tumorlens.web", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level if name == "tumorlens.web" else "WARNING")
