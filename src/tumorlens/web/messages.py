"""What the page and its workers say to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter

from tumorlens.evidence import Region
from tumorlens.finding import FindingRecord
from tumorlens.formats import Axis
from tumorlens.place import SlicePlace
from tumorlens.processes import Failed, Message
from tumorlens.scan import Orientation


class Rules(BaseModel):
    """How files are received: so many, of so many bytes together.

    Attributes:
        key: Secret that DICOM files are de-identified with, in hexadecimal; None leaves them as they are.
    """

    files: int
    size: int
    key: str | None = None


class Start(Message):
    """The first command: which weights answer, and the bytes the worker may take beyond what it holds then."""

    kind: Literal["start"] = "start"
    weights: str
    memory: int = 0


class FindInFile(Message):
    """Say what a file shows, at once.

    Attributes:
        name: What it is called.
        axis: The plane to cut a volume in.
        target: Class to explain; None takes the most probable one.
        pictures: Whether to embed overlay and heat map.
    """

    kind: Literal["find"] = "find"
    path: Path
    name: str
    axis: Axis = "axial"
    target: str | None = None
    pictures: bool = False


class ReadCase(Message):
    """Read a case.

    Attributes:
        folder: Its folder: `uploads` in; `files` and `slices` come out.
        uploads: Number and name of what was uploaded.
        axis: The plane to cut volumes in.
        rules: How files are received.
        given: Whether a node handed it over: `handover` is in, and its findings are the node's.
    """

    kind: Literal["case"] = "case"
    folder: Path
    uploads: tuple[tuple[int, str], ...]
    axis: Axis
    rules: Rules
    given: bool = False


class ReadPane(Message):
    """Show a square of a whole slide, as `Slide.pane` takes it; it comes as JPEG in the document of `Done`."""

    kind: Literal["pane"] = "pane"
    path: Path
    zoom: int
    column: int
    row: int


class ValuesView(BaseModel):
    """What the numbers behind a picture mean: of their steps, 0 is `low` and 65,535 is `high`.

    Attributes:
        low: Least value.
        high: Greatest value.
        black: What the file's window shows as black.
        white: What it shows as white.
        inverted: Whether large values are dark.
        tissue: Percentiles 5, 50, 97 and 99.9 of the values that are no background; None where nothing else is there.
        unit: Of the values: "HU", or empty where they have none.
    """

    low: float
    high: float
    black: float
    white: float
    inverted: bool
    tissue: tuple[float, float, float, float] | None = None
    unit: str = ""


class SlideView(BaseModel):
    """A whole slide, which a slice's picture is the overview of.

    Attributes:
        file: Its name in the case's folder of files.
        width: Pixels across, at the finest level.
        height: Pixels down.
        microns: A pixel.
        field: Microns along the sides of the tiles that were read.
        tiles: Tiles with tissue.
        labels: How many of them were given each class; "unknown" are those unlike the training's.
        pane: Pixels along the sides of a square that may be asked for.
        zooms: How often it may be halved; the overview shows what is smaller.
    """

    file: str
    width: int
    height: int
    microns: float
    field: float
    tiles: int
    labels: dict[str, int]
    pane: int
    zooms: int


class SliceContent(BaseModel):
    """A slice and its finding.

    Attributes:
        number: From 1.
        series: From 1; neighbours in a series are neighbours in the head.
        width: Of the scan, in pixels; regions are in these.
        height: Of the scan.
        spacing: mm between pixels, down and along the rows, where the file says.
        depth: How far the slice lies along the line across its plane, in mm, where the file says.
        values: What the numbers behind the picture mean; None where the file holds no more than the picture.
        position: Centre of its first pixel in DICOM's patient space, in mm, where the file says.
        orientation: Directions of its rows and columns there, where the file says.
        space: Stand-in of that space; slices of one space lie where they lie to each other. Empty where none is known.
        colour: Whether the picture has colours.
        uncertainty: 1 - the probability of the most probable class; 1 for an unknown scan.
        finding: As `tumorlens predict --json` gives it, for the most probable class.
        regions: Where the evidence is, by class: empty for an unknown scan, and without the class that means nothing
            was found. Their contours are in pixels alone: in mm too, they were most of what the page loads.
        evidence: Whether there is any, by the same classes.
        handed: Its number in the study that a node handed over, where the case is such a one.
        slide: Of a whole slide, what there is to zoom into; it has no regions, and its heat is its tiles' probability.
    """

    number: int
    series: int
    width: int
    height: int
    spacing: tuple[float, float] | None
    depth: float | None
    values: ValuesView | None
    position: tuple[float, ...] | None = None
    orientation: Orientation | None = None
    space: str = ""
    colour: bool = False
    uncertainty: float
    finding: FindingRecord
    regions: dict[str, Region | None]
    evidence: dict[str, bool]
    handed: int | None = None
    slide: SlideView | None = None


class Total(Message):
    """How many files a case has."""

    kind: Literal["total"] = "total"
    total: int


class TilesRead(Message):
    """How far a whole slide is."""

    kind: Literal["tiles"] = "tiles"
    done: int
    total: int


class FileFailed(Message):
    """A file of a case that could not be read."""

    kind: Literal["file failed"] = "file failed"
    name: str
    error: str


class SliceRead(Message):
    """A slice of a case, its finding, and where it lies in the patient."""

    kind: Literal["slice"] = "slice"
    content: SliceContent
    place: SlicePlace


class StudyGiven(Message):
    """The finding of a case that a node handed over, as `Case.study` keeps it."""

    kind: Literal["study given"] = "study given"
    study: dict[str, Any]


class Done(Message):
    """The end of a command that was done; with the document of a file's findings, where it was to find them."""

    kind: Literal["done"] = "done"
    document: dict[str, Any] | None = None


Reply = Total | TilesRead | FileFailed | SliceRead | StudyGiven | Done | Failed

COMMANDS: TypeAdapter[Start | FindInFile | ReadCase | ReadPane] = TypeAdapter(
    Annotated[Start | FindInFile | ReadCase | ReadPane, Field(discriminator="kind")]
)
REPLIES: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="kind")])
