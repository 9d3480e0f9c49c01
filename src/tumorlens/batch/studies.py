"""The findings of studies among very many slices: they wait on disk, so that memory holds those of one study only."""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from tumorlens.card import WeightsCard
from tumorlens.place import SlicePlace
from tumorlens.study import SliceFinding, find_in_studies
from tumorlens.study_record import StudyRecord


class _Answer(NamedTuple):
    """What a study takes of a finding."""

    source: str
    frame: int
    label: str | None
    probabilities: dict[str, float]
    unknown: bool


class StudySpool:
    """Collects slices' findings, and makes one of each study and volume, by the card of the weights."""

    def __init__(self, card: WeightsCard) -> None:
        self._card = card
        self._file = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed with the spool
        self._offsets: dict[str, array[int]] = {}

    def __enter__(self) -> StudySpool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, finding: dict[str, Any], place: dict[str, Any] | None) -> None:
        """Adds a slice, its finding and place as JSON has them; without a place it belongs to no study."""
        if place is None:
            return
        self._offsets.setdefault(place["study"], array("Q")).append(self._file.tell())
        answer = {key: finding[key] for key in _Answer._fields}
        self._file.write(json.dumps([answer, place]).encode("ascii") + b"\n")

    def records(self) -> Iterator[StudyRecord]:
        """The studies' findings, in the order in which their first slices came."""
        for offsets in self._offsets.values():
            slices = [self._read(offset) for offset in offsets]
            for study in find_in_studies(slices, self._card.classes, self._card.study):
                yield study.record()

    def _read(self, offset: int) -> SliceFinding:
        self._file.seek(offset)
        answer, place = json.loads(self._file.readline())
        return SliceFinding(_Answer(**answer), SlicePlace.model_validate(place))
