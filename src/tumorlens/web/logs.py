"""Logs: a JSON object a line on stderr. What is written is chosen field by field; no message quotes a file."""

from __future__ import annotations

import logging

from pythonjsonlogger.json import JsonFormatter


def set_up(level: str = "INFO") -> None:
    """Has the page's loggers, and uvicorn's errors, write JSON."""
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}", style="{", rename_fields={"asctime": "at", "levelname": "level"}
        )
    )
    for name in ("tumorlens.web", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
