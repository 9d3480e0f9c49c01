"""Networks trained as tasks of a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tumorlens.cluster.connect import connect
from tumorlens.data.loader import Slices
from tumorlens.experiments.crossvalidation import Trainer
from tumorlens.experiments.experiment import Experiment
from tumorlens.listener import Listener
from tumorlens.training.run import Run


def train_on_ray(address: str | None = None) -> Trainer:
    """Trains experiments as tasks of a Ray cluster, each with as many processors as its setting `threads` says, or one.

    The scans are put into the cluster's memory once. The runs' folders must be on a disk that all machines share. The
    address is a running cluster's; None starts one on this machine.
    """

    def train_all(experiments: Sequence[Experiment], listener: Listener) -> None:
        todo = [(e.run, e.slices) for e in experiments if not e.run.finished]
        if not todo:
            return
        with connect(address):
            import ray

            placed = {id(slices): ray.put(slices) for _, slices in todo}
            task = ray.remote(_train_one)
            waiting = {
                task.options(num_cpus=max(1, run.config.threads)).remote(run, placed[id(slices)]): run
                for run, slices in todo
            }
            listener.say(f"training {len(waiting)} networks on Ray")
            while waiting:
                (done,), _ = ray.wait(list(waiting))
                run = waiting.pop(done)
                try:
                    ray.get(done)
                except ray.exceptions.RayTaskError as error:
                    raise error.as_instanceof_cause() from error  # what went wrong, as if it had here
                listener.say(f"{run.folder.name} is trained; {len(waiting)} to go")

    return train_all


def _train_one(run: Run, slices: Slices) -> None:
    """A task: trains a run, or goes on with it."""
    if not run.config.threads:
        torch.set_num_threads(1)
    Experiment(run, slices).train()
