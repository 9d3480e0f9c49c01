"""Which series of a study are taken, and why the others are not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tumorlens.errors import InputError, UnreadableFile
from tumorlens.formats.dicom.geometry import OBLIQUE, PlaneName, nearest_plane
from tumorlens.formats.dicom.header import Header, read_header


class Description(BaseModel):
    """Patterns that a series' description must, and must not, contain. Case does not matter.

    Attributes:
        include: Regular expression; None for all.
        exclude: Regular expression; None for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    include: str | None = None
    exclude: str | None = None

    @field_validator("include", "exclude")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression ({error})") from error
        return pattern


class SeriesRule(BaseModel):
    """What a series must be like. The default takes MR that is neither localizer nor derived.

    Attributes:
        name: What reports call the rule.
        modality: Modalities (0008,0060) taken.
        description: Patterns for the series' description (0008,103E).
        orientation: Plane of the slices, by their orientation (0020,0037).
        tolerance: Degrees by which a plane may be tilted.
        contrast: Whether a contrast agent (0018,0010) must be named, must not be, or either.
        slices: Least and greatest number of slices; frames count each.
        exclude_image_types: Values of the image type (0008,0008) that are not taken.
        weights: Those that analyse what it takes; the node's where it names none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = "default"
    modality: tuple[str, ...] = ("MR",)
    description: Description = Description()
    orientation: PlaneName | Literal["any"] = "any"
    tolerance: Annotated[float, Field(ge=0, le=54)] = OBLIQUE
    contrast: Literal["yes", "no", "any"] = "any"
    slices: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (1, 5000)
    exclude_image_types: tuple[str, ...] = ("LOCALIZER", "DERIVED", "SECONDARY")
    weights: str | None = None

    @field_validator("contrast", mode="before")
    @classmethod
    def _yaml_means_words(cls, value: Any) -> Any:
        # YAML 1.1 reads a bare yes or no as true or false.
        return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value

    @field_validator("slices")
    @classmethod
    def _in_order(cls, slices: tuple[int, int]) -> tuple[int, int]:
        if slices[0] > slices[1]:
            raise ValueError("the least comes before the greatest")
        return slices


@dataclass(frozen=True)
class Verdict:
    """What the rules say of a series.

    Attributes:
        instances: How many it has.
        taken: Those that are taken.
        reasons: Why the others are not, a line each.
        weights: What analyses those that are taken; None for the node's.
    """

    series: str
    description: str
    number: int | None
    instances: int
    taken: tuple[Header, ...]
    reasons: tuple[str, ...]
    weights: str | None = None


def read_instances(paths: Iterable[str]) -> tuple[list[Header], dict[str, str]]:
    """The headers of files, and by path what is wrong with those that cannot be read."""
    headers, bad = [], {}
    for path in paths:
        try:
            header = read_header(path)
            if not header.uid:
                raise UnreadableFile(path, "the file is truncated or no DICOM instance", "send it again")
            headers.append(header)
        except InputError as error:
            bad[path] = error.problem
    return headers, bad


def judge(instances: Sequence[Header], rules: Sequence[SeriesRule]) -> list[Verdict]:
    """Says of each series whether it is taken.

    Localizers, derived pictures and slices of another plane may hide in a good series, so these are asked of each
    instance; what the instances that are left come to is asked of the series. A series is taken by the first rule that
    takes any of it.

    Returns:
        One verdict a series of a study, by series number.
    """
    groups: dict[str, list[Header]] = {}
    for instance in instances:
        groups.setdefault(instance.series, []).append(instance)
    verdicts = [_judge_series(uid, members, rules) for uid, members in groups.items()]
    return sorted(verdicts, key=lambda v: (v.number is None, v.number or 0, v.series))


def _judge_series(uid: str, members: list[Header], rules: Sequence[SeriesRule]) -> Verdict:
    refused: list[str] = []
    taken: list[Header] = []
    weights: str | None = None
    for rule in rules:
        taken, reasons = _apply(rule, members)
        if taken:
            refused, weights = reasons, rule.weights
            break
        prefix = f"{rule.name}: " if len(rules) > 1 else ""
        refused += [prefix + reason for reason in reasons]
    first = members[0]
    return Verdict(uid, first.description, first.series_number, len(members), tuple(taken), tuple(refused), weights)


def _apply(rule: SeriesRule, members: list[Header]) -> tuple[list[Header], list[str]]:
    counted: Counter[str] = Counter()
    left = []
    for instance in members:
        reasons = list(_against(rule, instance))
        counted.update(reasons)
        if not reasons:
            left.append(instance)
    reasons = [r if n == len(members) else f"{r} ({n} of {len(members)} instances)" for r, n in counted.items()]
    slices = sum(i.frames or 1 for i in left)
    low, high = rule.slices
    if left and not low <= slices <= high:
        return [], [*reasons, f"{slices} slices, and {low} to {high} are wanted"]
    return left, reasons


def _against(rule: SeriesRule, instance: Header) -> Iterable[str]:
    """Each reason not to take an instance."""
    if instance.modality not in rule.modality:
        yield f"modality {instance.modality or 'missing'}, and {' or '.join(rule.modality)} is wanted"
    if not instance.rows:
        yield "it holds no picture"
    if (wanted := rule.description.include) and not re.search(wanted, instance.description, re.IGNORECASE):
        yield f"the description does not contain {wanted!r}"
    if (unwanted := rule.description.exclude) and re.search(unwanted, instance.description, re.IGNORECASE):
        yield f"the description contains {unwanted!r}"
    for kind in rule.exclude_image_types:
        if kind.upper() in instance.image_type:
            yield f"image type {kind.upper()}"
    if rule.orientation != "any":
        orientation = instance.frame(0).orientation
        plane, tilt = (None, 0.0) if orientation is None else nearest_plane(orientation)
        if plane != rule.orientation:
            yield f"{plane or 'no orientation'}, and {rule.orientation} is wanted"
        elif tilt > rule.tolerance:
            yield f"tilted by more than {rule.tolerance:g} degrees"
    if rule.contrast != "any" and bool(instance.contrast) != (rule.contrast == "yes"):
        yield f"{'a' if instance.contrast else 'no'} contrast agent is named"
