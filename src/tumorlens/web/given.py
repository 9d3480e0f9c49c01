"""A case that a node handed over: its slices have the node's findings, whatever is computed here. Runs in a worker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tumorlens.errors import DataError
from tumorlens.finding import FindingRecord, WeightsId
from tumorlens.results.handover import read_handover
from tumorlens.scan import Scan
from tumorlens.study_record import KeySlice
from tumorlens.web.messages import StudyGiven


class Given:
    """What a node found in the slices of a case.

    Args:
        folder: What the node handed over.
        weights: Those that make the pictures here.

    Raises:
        DataError: If it is not what a node hands over, or was analysed with other weights: the heat would not be that
            of the finding.
    """

    def __init__(self, folder: Path, weights: WeightsId) -> None:
        try:
            self._handover = read_handover(folder)
        except (OSError, ValueError) as error:
            raise DataError("the node handed over what this version does not read; give both one version") from error
        theirs = self._handover.weights
        if theirs.sha256 != weights.sha256:
            raise DataError(f"the node analysed it with {theirs.name}, and the page has {weights.name}; give both one")
        self._places = {(s.file, s.frame): number for number, s in enumerate(self._handover.slices, 1)}
        self._numbers: dict[tuple[str, int], int] = {}

    def place(self, scan: Scan) -> int | None:
        """Number of a slice in what was handed over, from 1; None if the node found nothing of it."""
        return self._places.get((Path(scan.source).name, scan.frame))

    def finding(self, place: int, number: int, name: str) -> FindingRecord:
        """The node's finding of a slice, by its number there, which is called so here."""
        handed = self._handover.slices[place - 1]
        self._numbers[handed.file, handed.frame] = number
        return handed.finding.model_copy(update={"source": name})

    def study(self) -> StudyGiven:
        """The node's finding of the study, its slices by their numbers here; once all were asked for."""
        record = self._handover.study

        def numbers(slices: tuple[KeySlice, ...]) -> list[int]:
            places = ((s.source, s.frame) for s in slices)
            return sorted(self._numbers[place] for place in places if place in self._numbers)

        study: dict[str, Any] = record.model_dump(mode="json", exclude={"source"})
        return StudyGiven(
            study={**study, "key_slices": numbers(record.key_slices), "suspected": numbers(record.suspected)}
        )
