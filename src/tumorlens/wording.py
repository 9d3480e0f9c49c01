"""Findings in plain words, the same on the command line, the page, its reports and in DICOM results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from tumorlens.finding import CLOSE_CALL

if TYPE_CHECKING:
    from tumorlens.card import WeightsCard
    from tumorlens.classes import ClassSet
    from tumorlens.finding import Finding, FindingRecord
    from tumorlens.study_record import Answer

UNKNOWN = "unknown scan"

STATES: Mapping[Answer, str] = {
    "present": "Tumour suspected",
    "absent": "No tumour seen",
    "uncertain": "Uncertain",
    "not assessable": "Not assessable",
}
"""What each answer for a study means, in words that cannot be misread. None rules anything out."""


def in_words(probabilities: Mapping[str, float], classes: ClassSet) -> str:
    """A finding in a few words, of a scan or a study: its class and probability, or that it is a close call.

    `probabilities` are by the classes' keys; an unknown scan has none.
    """
    if not probabilities:
        return UNKNOWN
    names = {c.key: c.name for c in classes}
    ranked = sorted(probabilities.items(), key=lambda item: -item[1])
    if ranked[0][1] < CLOSE_CALL:
        return "close call: " + ", ".join(f"{names[key]} {p:.0%}" for key, p in ranked[:2])
    return f"{names[ranked[0][0]]}, {ranked[0][1]:.0%}"


def study_in_words(text: str, key_slices: Sequence[int]) -> str:
    """The finding of a study in a line, with its most suspicious slices, where it has more than one."""
    return f"{text}; most suspicious slices: {ranges(key_slices)}" if len(key_slices) > 1 else text


def set_in_words(finding: Finding | FindingRecord, card: WeightsCard) -> str:
    """A prediction set with its coverage; empty where it adds nothing: a single class, or a close call."""
    keys = finding.prediction_set
    if finding.close_call or len(keys) < 2 or card.calibration is None:
        return ""
    names = {c.key: c.name for c in card.classes}
    return f"prediction set ({card.calibration.coverage:.0%}): {one_of([names[key] for key in keys])}"


def one_of(names: Sequence[str]) -> str:
    """Names as alternatives: "a, b or c"."""
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def ranges(numbers: Iterable[int]) -> str:
    """Numbers with their runs folded: "3, 126–190"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs)
