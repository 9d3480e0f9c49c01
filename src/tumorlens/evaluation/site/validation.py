"""What a validation at a site finds, as in validation.json."""

from __future__ import annotations

from pydantic import BaseModel

from tumorlens.card import WeightsCard
from tumorlens.evaluation.metrics import Estimate, Scores
from tumorlens.evaluation.site.figures import AgainstCard, CalibrationLine, Subgroup


class Step(BaseModel, frozen=True):
    """A step of the flow of cases.

    Attributes:
        excluded: How many were left out to get here, by reason.
    """

    name: str
    count: int
    unit: str
    excluded: dict[str, int] = {}


class Unreadable(BaseModel, frozen=True):
    """A file that could not be read, without its name.

    Attributes:
        name: "file 0001" and so on; key.csv says which it is.
        reason: What is wrong with it, and what to do about it.
    """

    name: str
    reason: str


class Validation(BaseModel, frozen=True):
    """What a validation found, as in validation.json. It names no patient and no file.

    Attributes:
        card: Of the weights, as it was; its sha256 was checked.
        grouped_by: What a group is, in the singular.
        flow: From files found to slices analysed.
        counts: Slices and groups of each class, by its name.
        comparisons: The headline figures against the card's.
        coverage: Share of prediction sets that hold the true class; None where the weights make no sets.
        set_size: Mean number of classes in a set.
        unknown: Slices that the weights' gate calls unlike its training scans; None where they have no gate. They are
            analysed all the same.
        subgroups: By sex, age, scanner, field strength and source, where the files name them.
    """

    site: str
    date: str
    version: str
    synthetic: bool
    card: WeightsCard
    grouped_by: str
    flow: tuple[Step, ...]
    counts: dict[str, tuple[int, int]]
    scores: Scores
    calibration: tuple[CalibrationLine, ...]
    comparisons: tuple[AgainstCard, ...]
    coverage: Estimate | None
    set_size: Estimate | None
    unknown: int | None
    subgroups: tuple[Subgroup, ...]
    unreadable: tuple[Unreadable, ...]
    cautions: tuple[str, ...]
    command: str
