"""Finding of a study, from those of its slices: which series count, which slices decide, and when nobody can tell."""

from __future__ import annotations

import math
import os.path
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tumorlens.card import StudyRule
from tumorlens.classes import ClassSet
from tumorlens.place import SlicePlace
from tumorlens.showing import html_table
from tumorlens.study.stacks import Stack, stacks_of
from tumorlens.study_record import Answer, KeySlice, SeriesFinding, StudyRecord

if TYPE_CHECKING:
    from tumorlens.formats import Failure

_PREFERRED = "T1 post-contrast"
"""Where a study has it, this sequence decides: tumours of the training were seen in it."""

_ALL_UNKNOWN = "every slice is unlike the scans of the training"


class SliceAnswer(Protocol):
    """What a study takes of a slice's finding: a `Finding`, or what JSON kept of it."""

    @property
    def source(self) -> str:
        """The scan's file."""

    @property
    def frame(self) -> int:
        """Its place in that file."""

    @property
    def label(self) -> str | None:
        """Key of the most probable class."""

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Probability of each class by key."""

    @property
    def unknown(self) -> bool:
        """Whether the scan is unlike those of the training."""


@dataclass(frozen=True)
class SliceFinding:
    """A slice's finding, and where the slice belongs."""

    finding: SliceAnswer
    place: SlicePlace


@dataclass(frozen=True, eq=False)
class StudyFinding:
    """Prediction for a study.

    Attributes:
        source: The folder or file.
        answer: Whether there is a tumour.
        text: The answer in words.
        label: Key of the most probable class; None where the study is not assessable.
        probabilities: By key, the mean over the key slices of each series, then over the series that counted; they sum
            to 1. Means of slices, and not calibrated for studies. Empty where the study is not assessable.
        key_slices: Places of the slices that decided: of each series that counted, neighbours that together are the
            most probable to show something; the more, the thinner they are. Where nothing decided, those in the middle.
        slices: Every slice with its finding, as they were given; one that is given twice is counted once elsewhere.
        series: What each stack of slices says.
        counts: Slices by their own most probable class, unknown ones left out.
        counted: Places of all slices of the series that counted.
        in_context: Of each slice the probability of any tumour, in the mean with its neighbours, as many as decide
            together: a tumour shows in neighbours, a slip of the network in one. None where the slice is unknown.
        failures: Files that could not be read, or not wholly.
    """

    source: str
    answer: Answer
    text: str
    label: str | None
    probabilities: dict[str, float]
    key_slices: tuple[int, ...]
    slices: tuple[SliceFinding, ...]
    series: tuple[SeriesFinding, ...]
    counts: dict[str, int]
    counted: tuple[int, ...]
    in_context: tuple[float | None, ...]
    failures: tuple[Failure, ...] = ()

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<StudyFinding of {self.source!r}, {sum(s.slices for s in self.series)} slices: {self.text}>"

    def _repr_html_(self) -> str:
        names = ("series", "description", "sequence", "plane", "slices", "finding", "why it does not count")
        labels = (None if s.label is None else f"{s.label} {s.probabilities[s.label]:.0%}" for s in self.series)
        rows = (
            (s.number, s.description, s.sequence, s.plane, s.slices, label, s.reason)
            for s, label in zip(self.series, labels, strict=True)
        )
        key = [self.slices[i].finding for i in self.key_slices]
        surest = max(key, key=lambda finding: finding.probabilities.get(self.label or "", 0.0))
        show = getattr(surest, "_repr_html_", None)
        picture = "" if show is None or self.unknown else show()
        return f"<b>{escape(self.text)}</b>{html_table(names, rows)}{picture}"

    @property
    def uncertain(self) -> bool:
        """Whether somebody must look: nobody can tell by it whether there is a tumour, or which."""
        return self.answer in ("uncertain", "not assessable")

    @property
    def unknown(self) -> bool:
        """Whether nothing in it could be assessed."""
        return self.answer == "not assessable"

    @property
    def suspected(self) -> tuple[int, ...]:
        """Places of the slices, of those that counted, that with their neighbours rather show a tumour than not."""
        return tuple(i for i in self.counted if (self.in_context[i] or 0) > 0.5)

    @property
    def unknown_slices(self) -> int:
        """How many slices are unlike those of the training."""
        return sum(s.unknown_slices for s in self.series)

    @property
    def confidence(self) -> float | None:
        """Probability of the most probable class, 0 to 1; None where the study is not assessable."""
        return None if self.label is None else self.probabilities[self.label]

    def record(self, source: str | None = None) -> StudyRecord:
        """The finding as JSON holds it, with another name of its source if that is not to be written."""

        def named(places: Iterable[int]) -> tuple[KeySlice, ...]:
            findings = (self.slices[i].finding for i in places)
            return tuple(KeySlice(source=f.source, frame=f.frame) for f in findings)

        return StudyRecord(
            source=self.source if source is None else source,
            answer=self.answer,
            text=self.text,
            label=self.label,
            probabilities=self.probabilities,
            uncertain=self.uncertain,
            unknown=self.unknown,
            key_slices=named(self.key_slices),
            suspected=named(self.suspected),
            slices=sum(s.slices for s in self.series),
            unknown_slices=self.unknown_slices,
            counts=self.counts,
            series=self.series,
        )


def find_in_study(
    slices: Sequence[SliceFinding],
    classes: ClassSet,
    rule: StudyRule | None = None,
    *,
    source: str | None = None,
    failures: Iterable[Failure] = (),
) -> StudyFinding:
    """The finding of one study.

    Slices unlike those of the training have no vote. Of as many neighbours in a stack as `StudyRule.extent` covers, the
    mean probabilities are taken; those that are the most probable to show anything at all speak for the stack, and the
    mean over the stacks that count for the study. T1 post-contrast decides where there is some. Else every stack counts
    that is long enough; if none is, all. Localisers, mosaics, projections and what is no MR or CT image never count.

    Args:
        slices: Their findings, in any order.
        classes: The classes of the weights that made them.
        rule: The numbers of the decision; the card's, where it has them.
        source: What the study is called; by default the folder or file that its slices have in common.
        failures: Files that could not be read.

    Raises:
        ValueError: If there are no slices.
    """
    if not slices:
        raise ValueError("a study without slices has no finding")
    rule = rule or StudyRule()
    vote = _Vote(slices, classes, rule)
    labels = Counter(slices[i].finding.label for i in vote.distinct)
    probabilities = _mean([vote.mean(row) for row in vote.rows])
    answer, label = _answer(probabilities, classes, rule)
    return StudyFinding(
        source=common_source(s.finding.source for s in slices) if source is None else source,
        answer=answer,
        text=_text(answer, label, probabilities, classes, vote.series),
        label=label,
        probabilities=probabilities,
        key_slices=tuple(sorted(i for row in vote.rows for i in row)) or vote.middle,
        slices=tuple(slices),
        series=vote.series,
        counts={key: labels[key] for key in classes.keys},
        counted=vote.counted,
        in_context=vote.in_context,
        failures=tuple(failures),
    )


def find_in_studies(
    slices: Iterable[SliceFinding], classes: ClassSet, rule: StudyRule | None = None
) -> list[StudyFinding]:
    """A finding for each study and volume among slices. Pictures that belong to none have no part in it."""
    studies: dict[str, list[SliceFinding]] = {}
    for each in slices:
        if each.place.study:
            studies.setdefault(each.place.study, []).append(each)
    return [find_in_study(members, classes, rule) for members in studies.values()]


class _Vote:
    """Which slices speak for a study.

    Attributes:
        rows: Of each stack that counts, the neighbours that speak for it; none where nothing counts.
        distinct: All slices, without images that were given twice.
        counted: All slices of the stacks that count.
        series: What each stack says.
        in_context: Of each slice the probability of any tumour, in the mean with its neighbours; None of unknown ones.
        middle: The slices in the middle of the largest stack.
    """

    def __init__(self, slices: Sequence[SliceFinding], classes: ClassSet, rule: StudyRule) -> None:
        self._classes, self._rule = classes, rule
        self._voters = [not s.finding.unknown for s in slices]
        rows = [[s.finding.probabilities.get(key, 0.0) for key in classes.keys] for s in slices]
        self._p: NDArray[np.float64] = np.array(rows, float)
        self._something = self._p[:, [not c.nothing for c in classes]].sum(1)
        stacks = stacks_of(range(len(slices)), lambda i: slices[i].place)
        loudest = [self._loudest(stack) for stack in stacks]
        reasons = _reasons(stacks, loudest, [rule.length(stack.spacing) for stack in stacks])
        self.rows = [row for row, reason in zip(loudest, reasons, strict=True) if not reason]
        self.distinct = [i for stack in stacks for i in stack.slices]
        counting = (stack.slices for stack, reason in zip(stacks, reasons, strict=True) if not reason)
        self.counted = tuple(sorted(i for members in counting for i in members))
        self.series = tuple(self._finding(*each) for each in zip(stacks, loudest, reasons, strict=True))
        context: list[float | None] = [None] * len(slices)
        for stack in stacks:
            for i, mean in self._in_context(stack):
                context[i] = mean
        self.in_context = tuple(context)
        largest = max(stacks, key=lambda stack: len(stack.slices)).slices
        start = max(0, (len(largest) - rule.neighbours) // 2)
        self.middle = tuple(sorted(largest[start : start + rule.neighbours]))

    def mean(self, row: Sequence[int]) -> dict[str, float]:
        """Mean probabilities of some slices, by key."""
        return _mean([dict(zip(self._classes.keys, self._p[i].tolist(), strict=True)) for i in row])

    def _loudest(self, stack: Stack[int]) -> list[int]:
        """The neighbours in a stack that together are the most probable to show something."""
        places = [i for i in stack.slices if self._voters[i]]
        length = self._rule.length(stack.spacing)
        rows = [places[i : i + length] for i in range(max(1, len(places) - length + 1))]
        return max(rows, key=lambda row: math.fsum(self._something[row]))

    def _in_context(self, stack: Stack[int]) -> Iterable[tuple[int, float]]:
        """The known slices of a stack, each with the mean over its neighbours, as many to each side."""
        places = [i for i in stack.slices if self._voters[i]]
        reach = self._rule.length(stack.spacing) // 2
        for at, i in enumerate(places):
            row = places[max(0, at - reach) : at + reach + 1]
            yield i, math.fsum(self._something[row]) / len(row)

    def _finding(self, stack: Stack[int], row: list[int], reason: str) -> SeriesFinding:
        probabilities = self.mean(row)
        return SeriesFinding(
            number=stack.info.number,
            description=stack.info.description,
            sequence=stack.info.sequence,
            plane=stack.plane,
            slices=len(stack.slices),
            unknown_slices=sum(not self._voters[i] for i in stack.slices),
            label=max(probabilities, key=probabilities.__getitem__) if probabilities else None,
            probabilities=probabilities,
            counted=not reason,
            reason=reason,
        )


def _reasons(stacks: Sequence[Stack[int]], loudest: Sequence[list[int]], lengths: Sequence[int]) -> list[str]:
    """Why each stack does not count; empty for those that do."""
    reasons: list[str] = [
        stack.info.flaw or ("" if row else _ALL_UNKNOWN) for stack, row in zip(stacks, loudest, strict=True)
    ]
    whole = [len(row) == length for row, length in zip(loudest, lengths, strict=True)]
    preferred = [stack.info.sequence == _PREFERRED for stack in stacks]
    for better, why in ((whole, "too few slices"), (preferred, f"{_PREFERRED} decides")):
        if any(is_it and not reason for is_it, reason in zip(better, reasons, strict=True)):
            reasons = [reason or ("" if is_it else why) for reason, is_it in zip(reasons, better, strict=True)]
    return reasons


def _mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean, key by key. Sums are exact, so no order of the rows changes a digit."""
    return {key: math.fsum(row[key] for row in rows) / len(rows) for key in rows[0]} if rows else {}


def _answer(p: Mapping[str, float], classes: ClassSet, rule: StudyRule) -> tuple[Answer, str | None]:
    """What probabilities mean, and the most probable class."""
    if not p:
        return "not assessable", None
    label = max(p, key=p.__getitem__)
    tumour = math.fsum(p[c.key] for c in classes if not c.nothing)
    if classes[classes.keys.index(label)].nothing:
        return ("absent" if tumour <= rule.absent_below else "uncertain"), label
    return ("present" if tumour >= rule.present_above and p[label] >= rule.named_above else "uncertain"), label


def _text(
    answer: Answer, label: str | None, p: Mapping[str, float], classes: ClassSet, series: Sequence[SeriesFinding]
) -> str:
    names = {c.key: c.name for c in classes}
    if label is None:
        flaws = sorted({s.reason for s in series})
        return f"not assessable: {', '.join(flaws)}"
    if answer == "uncertain":
        first, second = sorted(p, key=lambda key: -p[key])[:2]
        return f"uncertain: {names[first]} {p[first]:.0%}, {names[second]} {p[second]:.0%}"
    return f"{names[label]} suspected, {p[label]:.0%}" if answer == "present" else f"{names[label]}, {p[label]:.0%}"


def common_source(sources: Iterable[str]) -> str:
    """What files have in common: the file, if it is one, else their folder."""
    several = sorted(set(sources))
    if len(several) == 1:
        return several[0]
    try:
        return os.path.commonpath(several) or several[0]
    except ValueError:
        return several[0]
