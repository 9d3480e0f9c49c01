"""Executors of a batch job: this process, or several of this machine. `tumorlens.cluster` has a Ray cluster's."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import starmap

from tumorlens.batch.job import Computing, Item, Job
from tumorlens.batch.work import Part, Worker
from tumorlens.errors import TumorLensError
from tumorlens.processes import begin

Chunk = tuple[int, list[Item]]
"""Files to do, and the place of the first."""

Pool = Callable[[Iterable[Chunk]], Iterator[Part]]
"""Executor: maps chunks of files to their results."""


def alone(worker: Worker) -> Pool:
    """In this process, one chunk after another."""
    return lambda chunks: starmap(worker, chunks)


def processes(computing: Computing, job: Job, count: int) -> Pool:
    """In processes of this machine, each with an engine of one thread; results come in the order of the chunks.

    Only a few chunks a process are under way at a time, so memory does not grow with the number of files.
    """

    def do(chunks: Iterable[Chunk]) -> Iterator[Part]:
        # Not forked: threads of this process would be torn apart.
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(count, context, initializer=_start, initargs=(computing, job))
        waiting: deque[Future[Part]] = deque()
        try:
            for place, items in chunks:
                waiting.append(executor.submit(_work, place, items))
                if len(waiting) >= 2 * count + 1:
                    yield _next(waiting)
            while waiting:
                yield _next(waiting)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)

    return do


def _next(waiting: deque[Future[Part]]) -> Part:
    try:
        return waiting.popleft().result()
    except BrokenProcessPool as error:
        raise TumorLensError(
            "a worker process was killed, perhaps for want of memory; what is done is kept: "
            "the same command goes on, with --jobs 1 in less memory"
        ) from error


_worker: Worker | None = None


def _start(computing: Computing, job: Job) -> None:
    """Makes a process a worker."""
    global _worker  # noqa: PLW0603 - what a process's initializer can hand to its tasks
    begin()
    _worker = Worker.start(computing, job)


def _work(place: int, items: list[Item]) -> Part:
    assert _worker is not None
    return _worker(place, items)


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
