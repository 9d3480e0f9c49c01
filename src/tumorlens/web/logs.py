"""Logs: a JSON object a line on stderr. What is written is chosen field by field; no message quotes a file."""

from __future__ import annotations

import logging
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from tumorlens.errors import trace_of

_OURS = ("tumorlens.web", "uvicorn.error")


class _Formatter(JsonFormatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """Where it happened, without what it says."""
        return trace_of(ei[1])


def set_up(level: str = "INFO") -> None:
    """Has everything that this process says on stderr be JSON, to the last line of its shutdown.

    Of other libraries only where they spoke is written: what they say may quote a file.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        _Formatter(
            "{asctime}{levelname}{name}{message}", style="{", rename_fields={"asctime": "at", "levelname": "level"}
        )
    )
    handler.addFilter(_without_words)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel("WARNING")
    for name in _OURS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level if name == "tumorlens.web" else "WARNING")
    logging.captureWarnings(True)
    sys.excepthook = _crashed
    sys.unraisablehook = lambda found: _lost(found.exc_value)
    threading.excepthook = lambda found: _lost(found.exc_value)


def _without_words(record: logging.LogRecord) -> bool:
    if record.name.partition(".")[0] not in ("tumorlens", "uvicorn"):
        record.msg, record.args = f"at {Path(record.pathname).name}:{record.lineno}", ()
        record.exc_text = record.stack_info = None
    return True


def _crashed(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    logging.getLogger("tumorlens.web").critical("ended by an error", exc_info=(kind, error, traceback))


def _lost(error: BaseException | None) -> None:
    """Of an error that nobody can catch any more: of a thread, or of what was thrown away."""
    trace = "" if error is None else trace_of(error)
    logging.getLogger("tumorlens.web").error("an error nobody waited for", extra={"trace": trace})
