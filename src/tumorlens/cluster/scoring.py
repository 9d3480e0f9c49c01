"""The same chunks on a Ray cluster: an actor pool, one engine an actor.

https://docs.ray.io/en/latest/data/batch_inference.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from tumorlens.batch.job import Chunk, Computing, Job
from tumorlens.batch.pools import Pool
from tumorlens.batch.work import Part, Worker
from tumorlens.cluster.connect import connect
from tumorlens.processes import parse

_CHUNK, _PART = TypeAdapter(Chunk), TypeAdapter(Part)
_BLOCKS = 2000  # that a job is cut into at most; each is one task of an actor


def actors(computing: Computing, job: Job, count: int = 0, address: str | None = None) -> Pool:
    """Ray Data's actor pool; results come in any order, each with its place.

    Weights by name are in the package that every node has; weights by path, scans and the output folder must be where
    every node finds them: on a shared disk, or in a store by URL.

    Args:
        computing: What computes.
        job: What to do.
        count: Actors, of one processor each; 0 lets Ray use all there are.
        address: Of a running cluster; None starts one on this machine.
    """

    def do(chunks: Iterable[Chunk]) -> Iterator[Part]:
        rows = [{"chunk": chunk.line()} for chunk in chunks]
        if not rows:
            return
        with connect(address):
            import ray

            size = count or max(1, int(ray.cluster_resources().get("CPU", 1)))
            results = ray.data.from_items(rows, override_num_blocks=min(len(rows), _BLOCKS)).map_batches(
                _Actor,
                fn_constructor_args=(computing, job),
                batch_size=1,
                compute=ray.data.ActorPoolStrategy(size=min(size, len(rows))),
                num_cpus=1,
            )
            for row in results.iter_rows():
                yield parse(_PART, row["part"])

    return do


class _Actor:
    """A worker in a process of the cluster."""

    def __init__(self, computing: Computing, job: Job) -> None:
        self.worker = Worker.start(computing, job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        parts = [self.worker(parse(_CHUNK, line)).line() for line in batch["chunk"]]
        return {"part": np.array(parts, object)}
