"""What several tests of the node share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydicom import Dataset

from rehearsal.archive import send
from rehearsal.kills import complete, wait_for
from rehearsal.phantoms import make_instance
from tumorlens.node.node import Node
from tumorlens.node.status import study_states

StartNode = Callable[..., Node]

PATIENCE = 60.0
"""Seconds for what takes milliseconds, on a machine that does much else."""


def deliver(node: Node, instances: Sequence[Dataset]) -> list[int]:
    """Sends a study to a node, however slowly; gives the answers."""
    answers = send(node.receiver.port, instances)
    complete(node.ledger)
    return answers


def until(node: Node, **states: int) -> None:
    """Waits until so many studies are at each stage."""
    wait_for(lambda: states.items() <= study_states(node.ledger).items())


def study_of(name: str, slices: int, **elements: Any) -> list[Dataset]:
    return [make_instance(name, number, **elements) for number in range(1, slices + 1)]
