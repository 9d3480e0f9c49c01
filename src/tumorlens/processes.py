"""What makes a process a worker: it ends with its parent, keeps to its limits, and tells what went wrong.

The page, the node and batches of scans schedule their workers each in their own way; what is the same stands here.
Messages are JSON: a worker that a hostile file took over can hand nobody a pickle.
"""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Generic, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter

from tumorlens.errors import AnalysisFailed, InputError, TumorLensError, trace_of
from tumorlens.files import NO_ROOM

Kind = TypeVar("Kind")

_READY = b"ready"
_START_SECONDS = 120.0


class Message(BaseModel, frozen=True):
    """Message between a process and its worker, one line of JSON."""

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


class NowReading(Message):
    """From now on the file at this place of what was given is read, or none."""

    kind: Literal["reading"] = "reading"
    place: int | None


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


class WorkerProcess(Generic[Kind]):
    """A worker at the other end of a pipe. It starts when it is first told something, and again when it died.

    Args:
        kinds: What it tells.
        main: What it runs, given its end of the pipe and `arguments`; all can be pickled. See `serve`.
    """

    def __init__(self, kinds: TypeAdapter[Kind], main: Callable[..., None], *arguments: object) -> None:
        self._kinds, self._main, self._arguments = kinds, main, arguments
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._ending = False

    def tell(self, message: Message) -> None:
        """Sends the worker a message.

        Raises:
            AnalysisFailed: If it has died.
            InterruptedError: After `end`.
            OSError: If no process can be started.
        """
        connection = self._start()
        try:
            connection.send_bytes(message.line())
        except OSError:
            raise self._death() from None

    def hear(self, seconds: float) -> Kind | None:
        """What it tells next; None if it tells nothing for so long. It must have been told something before.

        Raises:
            AnalysisFailed: If it has died, or tells what is no message.
            InterruptedError: After `end`.
        """
        assert self._connection is not None
        try:
            if not self._connection.poll(max(0.0, seconds)):
                return None
            return parse(self._kinds, self._connection.recv_bytes())
        except (EOFError, OSError, ValueError):
            raise self._death() from None

    def end(self) -> None:
        """Ends it for good, from any thread: whoever waits for it is interrupted."""
        with self._lock:
            self._ending = True
            if self._process is not None:
                self._process.kill()

    def close(self, patience: float = 0.0) -> None:
        """Ends the process, whatever it does; with patience, one that does nothing ends by itself."""
        with self._lock:
            process, self._process = self._process, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if process is not None:
            process.join(patience)
            process.kill()
            process.join()
            process.close()

    def _start(self) -> Connection:
        if self._process is not None and self._process.is_alive() and self._connection is not None:
            return self._connection
        self.close()
        # Not forked: threads of this process would be torn apart.
        context = multiprocessing.get_context("spawn")
        with self._lock:
            if self._ending:
                raise InterruptedError("the worker is not wanted any more")
            ours, theirs = context.Pipe()
            process = context.Process(target=self._main, args=(theirs, *self._arguments), daemon=True)
            process.start()
            theirs.close()
            self._process, self._connection = process, ours
        # Limits of time are for files, and do not begin before the process has loaded what it runs.
        try:
            if ours.poll(_START_SECONDS) and ours.recv_bytes() == _READY:
                return ours
        except (EOFError, OSError):
            pass
        raise self._death()

    def _death(self) -> Exception:
        if self._ending:
            return InterruptedError("the worker was ended")
        assert self._process is not None
        self._process.join(5)
        manner = _manner(self._process.exitcode)
        self.close()
        return AnalysisFailed(f"the process that analyses died ({manner})", died=True)


def _manner(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}, perhaps for want of memory"
    return "it did not answer" if code is None else f"exit code {code}"


def serve(connection: Connection, kinds: TypeAdapter[Kind], answer: Callable[[Kind], Message]) -> None:
    """Work of a `WorkerProcess`: answers what it is told, one message after another, until nobody tells it more.

    Args:
        connection: Its end of the pipe.
        kinds: What it is told.
        answer: Does what a message wants; an error is answered with `Failed`.
    """
    connection.send_bytes(_READY)
    while True:
        try:
            command = parse(kinds, connection.recv_bytes())
        except (EOFError, OSError):
            return
        try:
            reply = answer(command)
        except Exception as error:  # noqa: BLE001 - whatever a file does to a library, the next one is answered
            reply = Failed.of(error)
        connection.send_bytes(reply.line())


def begin(*, nice: int = 0) -> None:
    """Makes this process a worker. It must be the first thing that it does.

    `nice` says how far its work comes after that of others.
    """
    collect_rarely()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    if nice:
        os.nice(nice)
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a dump would hold patients' pixels


def collect_rarely() -> None:
    """Has Python look for garbage in cycles less often: each time it goes through all that is in memory."""
    gc.set_threshold(100_000, 50, 100)


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
