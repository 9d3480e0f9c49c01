"""What an audit finds, as data."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field


@dataclass(frozen=True, slots=True)
class AuditedPicture:
    """One picture.

    Attributes:
        entry: Its entry's place in the manifest, from 0.
        path: Its name: the path inside the data set, with "#frame" where a file holds several.
        split: The publisher's split, "training" or "testing", where there is one.
        group: Number of its duplicate group, from 1; None if it stands alone.
        relation: What it is of the group's first picture, such as "mirrored, resized"; "first" for that one, "" for
            one that stands alone.
        correlation: Agreement of the local patterns with the group's first, -1 to 1.
        form: Number of the form that turns it into the group's first, see `duplicates.FORMS`; the nearest one of a
            turned tile.
    """

    entry: int
    path: str
    label: str
    split: str | None
    group: int | None
    relation: str
    correlation: float
    form: int


class UnreadPicture(BaseModel, frozen=True):
    """A file that gave no picture, and why."""

    path: str
    error: str


class Member(BaseModel, frozen=True):
    """A picture of a contradictory group. Attributes as in `AuditedPicture`."""

    path: str
    label: str
    split: str | None
    relation: str


class Contradiction(BaseModel, frozen=True):
    """A duplicate group with more than one label."""

    group: int
    members: tuple[Member, ...]


class Share(BaseModel, frozen=True):
    """How many test pictures stand in the training part too.

    Attributes:
        found: Those of which a training picture is a duplicate.
        mirrored: Of the found, those that stand there mirrored left to right, and not as they are.
        turned: Of the found, those that stand there turned or upside down only.
    """

    pictures: int
    found: int
    mirrored: int
    turned: int

    @property
    def share(self) -> float | None:
        """Found of all test pictures, 0 to 1; None if there are none."""
        return self.found / self.pictures if self.pictures else None

    @property
    def mirrored_share(self) -> float | None:
        """Mirrored of the found, 0 to 1; None if none were found."""
        return self.mirrored / self.found if self.found else None


class ClassCount(BaseModel, frozen=True):
    """The pictures of a class.

    Attributes:
        distinct: Different ones: a duplicate group counts once.
    """

    label: str
    pictures: int
    distinct: int
    training: int
    testing: int


class PictureKind(BaseModel, frozen=True):
    """A size and mode, and how many pictures of each class have it.

    Attributes:
        mode: "grey" or "colour"; colour channels that are all alike count as grey.
    """

    width: int
    height: int
    mode: str
    pictures: int
    labels: dict[str, int]


class Shortcut(BaseModel, frozen=True):
    """How well the label can be told from something that is not the tumour.

    Attributes:
        pictures: Pictures used, one of each duplicate group.
        balanced_accuracy: Mean recall of the classes, 0 to 1, cross-validated.
        chance: What guessing gets.
        auc: Each class against the rest, area under the ROC curve, 0 to 1; 0.5 is guessing.
    """

    name: str
    pictures: int
    balanced_accuracy: float
    chance: float
    auc: dict[str, float]

    @property
    def strength(self) -> str:
        """In words: "none", "weak", "clear" or "strong", by the share of the way from guessing to certainty."""
        above = (self.balanced_accuracy - self.chance) / (1 - self.chance)
        return "none" if above < 0.1 else "weak" if above < 0.3 else "clear" if above < 0.6 else "strong"


class AuditReport(BaseModel, frozen=True):
    """What an audit found. `model_dump_json` leaves out the table, which duplicates.csv has.

    Attributes:
        table: Each of them, in the manifest's order.
        groups: Duplicate groups: of two pictures or more.
        duplicated: Pictures in them.
        kinds: How often each word of a relation occurs, such as {"mirrored": 12, "resized": 3}.
        leak: Test pictures that stand in training; None without a publisher's split.
        torn: Duplicate groups with pictures in several of the table's folds; None where the table has no folds.
        own_folds: Whether shortcuts were measured over the table's own folds, which may know more of patients.
        shortcuts: What gives labels away; empty if it could not be measured.
    """

    data: str
    synthetic: bool
    files: int
    pictures: int
    table: tuple[AuditedPicture, ...] = Field(exclude=True, repr=False)
    distinct: int
    groups: int
    duplicated: int
    largest: int
    kinds: dict[str, int]
    leak: Share | None
    leak_by_label: dict[str, Share]
    torn: int | None
    contradictions: tuple[Contradiction, ...]
    balance: tuple[ClassCount, ...]
    sizes: tuple[PictureKind, ...]
    own_folds: bool
    shortcuts: tuple[Shortcut, ...]
    unreadable: tuple[UnreadPicture, ...]
