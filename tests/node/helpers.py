"""What several tests of the node share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydicom import Dataset

from rehearsal.kills import wait_for
from rehearsal.phantoms import make_instance
from tumorlens.node.node import Node
from tumorlens.node.status import study_states

StartNode = Callable[..., Node]


def until(node: Node, **states: int) -> None:
    """Waits until so many studies are at each stage."""
    wait_for(lambda: states.items() <= study_states(node.ledger).items(), 60)


def study_of(name: str, slices: int, **elements: Any) -> list[Dataset]:
    return [make_instance(name, number, **elements) for number in range(1, slices + 1)]
