"""The finding of a study as JSON holds it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from tumorlens.sequence import Sequence

Answer = Literal["present", "absent", "uncertain", "not assessable"]
"""Whether a study shows a tumour. "not assessable": nothing in it is like what the network was trained on."""


class SeriesFinding(BaseModel, frozen=True):
    """What one stack of slices of a study says.

    Attributes:
        number: SeriesNumber, where known.
        sequence: Such as "T1 post-contrast"; None where nothing tells.
        plane: The anatomical plane, or "oblique"; None where its place in the patient is unknown.
        unknown_slices: How many of them are unlike those of the training.
        label: Key of the most probable class in its most suspicious slices; None where all are unknown.
        probabilities: Of those slices, by key; empty where all are unknown.
        counted: Whether it decided on the study.
        reason: Why it did not; else empty.
    """

    number: int | None
    description: str
    sequence: Sequence | None
    plane: str | None
    slices: int
    unknown_slices: int
    label: str | None
    probabilities: dict[str, float]
    counted: bool
    reason: str


class KeySlice(BaseModel, frozen=True):
    """A slice that decided: file, and place in it from 0."""

    source: str
    frame: int


class StudyRecord(BaseModel, frozen=True):
    """The finding of a study or volume, in JSON.

    Attributes:
        answer: Whether there is a tumour.
        label: Key of the most probable class; None where the study is not assessable.
        probabilities: By key, means over the key slices of the series that counted; empty where there were none.
        uncertain: Whether somebody must look: the answer is "uncertain" or "not assessable".
        unknown: Whether it is "not assessable".
        key_slices: The slices that decided, in order.
        suspected: The slices that with their neighbours more probably show a tumour than not.
        counts: Slices by their own most probable class.
    """

    source: str
    answer: Answer
    text: str
    label: str | None
    probabilities: dict[str, float]
    uncertain: bool
    unknown: bool
    key_slices: tuple[KeySlice, ...]
    suspected: tuple[KeySlice, ...] = ()
    slices: int
    unknown_slices: int
    counts: dict[str, int]
    series: tuple[SeriesFinding, ...]
