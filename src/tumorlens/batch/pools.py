"""Executors of a batch job: this process, or several of this machine. `tumorlens.cluster` has a Ray cluster's."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from tumorlens import limits
from tumorlens.batch.job import Chunk, Computing, Job, check
from tumorlens.batch.work import Part, Worker
from tumorlens.errors import AnalysisFailed, ConfigError, TumorLensError
from tumorlens.files import NO_ROOM
from tumorlens.processes import Failed, Message, NowReading, WorkerProcess, begin, keep_quiet, limit_memory, serve

Pool = Callable[[Iterable[Chunk]], Iterator[Part]]
"""Executor: maps chunks of files to their results."""

_DEATHS = 20  # workers in a row that one file after another kills, before the machine is at fault


class Stopped(Message):
    """The end of a job that no file is at fault for: weights that cannot be used, an output that cannot be written."""

    kind: Literal["stopped"] = "stopped"
    problem: str


_CHUNK: TypeAdapter[Chunk] = TypeAdapter(Chunk)
_Reply = NowReading | Part | Stopped | Failed
_REPLIES: TypeAdapter[_Reply] = TypeAdapter(Annotated[_Reply, Field(discriminator="kind")])


def alone(worker: Worker) -> Pool:
    """In this process, one chunk after another."""
    return lambda chunks: map(worker, chunks)


def processes(computing: Computing, job: Job, count: int, seconds: float = limits.CASE_SECONDS) -> Pool:
    """In processes of this machine, each with an engine of one thread; results come in the order of the chunks.

    Only a few chunks a process are under way at a time, so memory does not grow with the number of files. A file may
    take so many seconds, and `limits.WORKER` bytes of memory; one that takes more, or kills its process, costs itself
    only.
    """

    def do(chunks: Iterable[Chunk]) -> Iterator[Part]:
        workers = [_ChunkProcess(computing, job, seconds) for _ in range(count)]
        free: SimpleQueue[_ChunkProcess] = SimpleQueue()
        for worker in workers:
            free.put(worker)

        def ask(chunk: Chunk) -> list[Part]:
            worker = free.get()
            try:
                return list(worker.run(chunk))
            finally:
                free.put(worker)

        waiting: deque[Future[list[Part]]] = deque()
        executor = ThreadPoolExecutor(count)
        patience = 0.0
        try:
            for chunk in chunks:
                waiting.append(executor.submit(ask, chunk))
                if len(waiting) >= 2 * count + 1:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
            patience = 5.0
        finally:
            if not patience:
                for worker in workers:
                    worker.end()
            executor.shutdown(wait=True, cancel_futures=True)
            for worker in workers:
                worker.close(patience)

    return do


class _ChunkProcess(WorkerProcess[_Reply]):
    """A process that does one chunk after another."""

    def __init__(self, computing: Computing, job: Job, seconds: float) -> None:
        super().__init__(_REPLIES, _main, computing, job)
        self._seconds = seconds
        self._deaths = 0

    def run(self, chunk: Chunk) -> Iterator[Part]:
        """What comes of a chunk; where it fails, of its files one by one, so that the one at fault is known.

        Raises:
            ConfigError: If the job cannot go on.
            TumorLensError: If one process after another dies.
            InterruptedError: After `end`.
        """
        reply = self._ask(chunk)
        if isinstance(reply, Part):
            self._deaths = 0
            yield reply
        elif len(chunk.items) > 1:
            for place, item in enumerate(chunk.items, chunk.place):
                yield from self.run(Chunk(place=place, items=(item,)))
        else:
            self._deaths = 0 if isinstance(reply, Failed) else self._deaths + 1
            if self._deaths == _DEATHS:
                raise TumorLensError(
                    f"{_DEATHS} worker processes in a row were lost ({reply}); what is done is kept: "
                    "the same command goes on, with --jobs 1 in less memory"
                )
            trace = f" ({reply.trace})" if isinstance(reply, Failed) and reply.trace else ""
            yield Part.failed(chunk.place, chunk.items[0], f"{getattr(reply, 'reason', reply)}{trace}")

    def _ask(self, chunk: Chunk) -> Part | Failed | AnalysisFailed:
        """What came of a chunk, why it failed, or how its process was lost."""
        try:
            self.tell(chunk)
            while isinstance(reply := self.hear(self._seconds), NowReading):
                pass
        except AnalysisFailed as error:
            return error
        if isinstance(reply, Stopped):
            raise ConfigError(reply.problem)
        if reply is None:
            self.close()
            return AnalysisFailed(f"it took longer than {self._seconds:g} s", died=True)
        return reply


def _main(connection: Connection, computing: Computing, job: Job) -> None:
    """The process: told of a `Chunk`, it tells which file it reads, and what came of them."""
    begin()
    keep_quiet()
    worker: Worker | None = None

    def answer(chunk: Chunk) -> Message:
        nonlocal worker
        try:
            if worker is None:
                worker = Worker.start(computing, job)
                check(job, worker.classifier)  # loads PyTorch where the job needs it
                if computing.device == "cpu":  # GPUs take addresses for all their memory
                    limit_memory(limits.WORKER)
            return worker(chunk, lambda place: connection.send_bytes(NowReading(place=place).line()))
        except TumorLensError as error:
            return Stopped(problem=str(error))
        except OSError as error:
            if error.errno in NO_ROOM:
                return Stopped(problem=Failed.of(error).reason)
            raise

    serve(connection, _CHUNK, answer)


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
