"""What makes a process a worker: it ends with its parent, keeps to its limits, and tells what went wrong.

The page, the node and batches of scans schedule their workers each in their own way; what is the same stands here.
Messages are JSON: a worker that a hostile file took over can hand nobody a pickle.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, TypeAdapter

from tumorlens.errors import InputError, TumorLensError, trace_of
from tumorlens.files import NO_ROOM

Kind = TypeVar("Kind")


class Message(BaseModel, frozen=True):
    """What a worker is told, or tells."""

    def line(self) -> bytes:
        """The message as a line of JSON."""
        # Not Pydantic's JSON: file names on Linux are bytes, and it refuses those that are no text.
        return json.dumps(self.model_dump(), default=os.fspath).encode("ascii") + b"\n"


def parse(kinds: TypeAdapter[Kind], line: bytes) -> Kind:
    """The message of a line.

    Raises:
        ValueError: If it is none of these kinds.
    """
    return kinds.validate_python(json.loads(line))


class Failed(Message):
    """The end of work that failed, without patient data.

    Attributes:
        problem: What went wrong.
        remedy: What to do about it; may be empty.
        trace: Kind and place of an error that nobody foresaw, for the log.
        lasting: Whether what was sent is at fault, so that trying again would end the same.
    """

    kind: Literal["failed"] = "failed"
    problem: str
    remedy: str = ""
    trace: str = ""
    lasting: bool = False

    @classmethod
    def of(cls, error: Exception) -> Failed:
        """What an error comes to. The text of others' errors may quote the file; their kind and place may not."""
        match error:
            case InputError():
                return cls(problem=error.problem, remedy=error.remedy, lasting=True)
            case TumorLensError():
                return cls(problem=str(error))
            case MemoryError():
                return cls(problem="it needs more memory than a worker may take", remedy="split it or resample it")
            case OSError() if error.errno in NO_ROOM:
                return cls(problem="the disk is full", remedy="its keeper must make room, then try again")
            case _:
                remedy = "export it again, or convert it to PNG"
                return cls(problem="it could not be analysed", remedy=remedy, trace=trace_of(error))

    @property
    def reason(self) -> str:
        """Problem and remedy in a line."""
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem


def begin(*, nice: int = 0) -> None:
    """Makes this process a worker. It must be the first thing that it does.

    `nice` says how far its work comes after that of others.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    if nice:
        os.nice(nice)
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold patients' pixels


def keep_quiet() -> None:
    """Silences warnings and logs: the libraries that read files quote patient data in them."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)


def limit_memory(more: int) -> None:
    """Lets this process take so many bytes beyond what it has, its weights for example; 0 is no limit. Linux only."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (ImportError, OSError):
        return
    if more:
        limit = pages * os.sysconf("SC_PAGE_SIZE") + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _end_with_parent(pid: int) -> None:
    """A worker whose parent was killed would wait for work for ever, or go on with what nobody waits for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    else:
        while os.getppid() == pid:
            time.sleep(0.5)
    os._exit(1)
