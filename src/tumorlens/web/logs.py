"""Logs: a JSON object a line on stderr. What is written is chosen field by field; no message quotes a file."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

from pythonjsonlogger.json import JsonFormatter


class _Formatter(JsonFormatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        """Kinds of errors and where they happened. What they say may quote a file, so it stays out."""
        chain, error = [], ei[1]
        while error is not None:
            frames = traceback.extract_tb(error.__traceback__)
            where = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[::-1][:12])
            chain.append(f"{type(error).__name__} at {where}")
            error = error.__cause__
        return "; from ".join(chain)


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
