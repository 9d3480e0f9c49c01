"""The same chunks on a Ray cluster: an actor pool, one engine an actor.

https://docs.ray.io/en/latest/data/batch_inference.html
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tumorlens.batch.job import Computing, Job
from tumorlens.batch.pools import Chunk, Pool
from tumorlens.batch.work import Part, Worker
from tumorlens.cluster.connect import connect

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
        # Pickled, because a table of Ray's holds no errors; only this program's own values are ever unpickled.
        rows = [{"place": place, "items": pickle.dumps(items)} for place, items in chunks]
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
                yield pickle.loads(row["part"])  # noqa: S301 - made by our own actors

    return do


class _Actor:
    """A worker in a process of the cluster."""

    def __init__(self, computing: Computing, job: Job) -> None:
        self.worker = Worker.start(computing, job)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        chunks = zip(batch["place"], batch["items"], strict=True)
        # Made by the program that started this actor.
        parts = [self.worker(int(place), pickle.loads(items)) for place, items in chunks]  # noqa: S301
        return {"part": np.array([pickle.dumps(part) for part in parts], object)}
