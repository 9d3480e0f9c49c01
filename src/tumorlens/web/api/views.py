"""What the API answers with."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from tumorlens.finding import FindingRecord, FindingsDocument, Region
from tumorlens.web.tables import Case, FailedFile, Feedback, Slice

BASE = "/api/v1"

Title = Annotated[str, StringConstraints(strip_whitespace=True, max_length=120)]


class Asked(BaseModel):
    """A body that somebody sends: nothing in it that is not known, and no NUL, which no database keeps as text."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_nul(cls, given: Any) -> Any:
        if isinstance(given, dict) and any(isinstance(value, str) and "\0" in value for value in given.values()):
            raise ValueError("it holds characters that are no text")
        return given


class Document(FindingsDocument):
    """Findings as `tumorlens predict --json` gives them, schema number included."""

    number: Literal[1] = Field(1, alias="schema")


class Message(BaseModel):
    """What went wrong, and what to do about it."""

    error: str


class CaseView(BaseModel):
    """A case.

    Attributes:
        id: Its identifier.
        title: What people call it.
        owner: Who dropped it.
        created: Seconds since 1970.
        expires: When it is deleted; seconds since 1970.
        status: "uploading", "waiting", "reading", "done" or "failed".
        error: Why it failed.
        axis: The plane that volumes are cut in.
        files: How many were uploaded.
        slices: How many were found so far.
        total: Files that hold slices, once they are counted.
        label: Key of the study's class; empty until it is done.
        confidence: The study's probability of it.
        uncertainty: 0 to 1; 1 for an unknown scan.
        unknown: Whether every slice is unlike those of the training.
        study: What the slices say together: see `tumorlens.study.StudyFinding`; its key slices by number.
        verdict: What a reader said last: "agree", "other", "unsure", or empty.
        weights: Name of the weights that answered.
        weights_sha256: Of their file.
        version: Of TumorLens.
    """

    id: str
    title: str
    owner: str
    created: float
    expires: float
    status: str
    error: str
    axis: str
    files: int
    slices: int
    total: int
    label: str
    confidence: float
    uncertainty: float
    unknown: bool
    study: dict[str, Any] | None
    verdict: str
    weights: str
    weights_sha256: str
    version: str

    @classmethod
    def of(cls, case: Case, keep_days: float, verdict: str = "") -> CaseView:
        """A row as the API has it."""
        same = cls.model_fields.keys() - {"expires", "verdict", "weights"}
        return cls(
            **case.model_dump(include=same),
            expires=case.created + keep_days * 86400,
            verdict=verdict,
            weights=case.weights_name,
        )


class CaseList(BaseModel):
    """A part of the worklist, and how many cases there are in all."""

    total: int
    cases: list[CaseView]


class FailureView(BaseModel):
    """A file that could not be read."""

    name: str
    error: str

    @classmethod
    def of(cls, failed: FailedFile) -> FailureView:
        """A row as the API has it."""
        return cls(name=failed.name, error=failed.error)


class CaseDetail(CaseView):
    """A case, and its files that could not be read."""

    failures: list[FailureView] = Field(default_factory=list)


class ValuesView(BaseModel):
    """What the numbers behind a picture mean: of their steps, 0 is `low` and 65,535 is `high`.

    Attributes:
        low: Least value.
        high: Greatest value.
        black: What the file's window shows as black.
        white: What it shows as white.
        inverted: Whether large values are dark.
    """

    low: float
    high: float
    black: float
    white: float
    inverted: bool


class SliceView(BaseModel):
    """A slice and its finding.

    Attributes:
        number: From 1.
        series: From 1; neighbours in a series are neighbours in the head.
        width: Of the scan, in pixels; regions are in these.
        height: Of the scan.
        spacing: mm between pixels, down and along the rows, where the file says.
        depth: How far the slice lies along the line across its plane, in mm, where the file says.
        values: What the numbers behind the picture mean; None where the file holds no more than the picture.
        volume: Number of the volume it is a part of, where that is shown in three planes.
        uncertainty: 1 - the probability of the most probable class; 1 for an unknown scan.
        finding: As `tumorlens predict --json` gives it, for the most probable class.
        regions: For every class by key, where the evidence for it is.
        evidence: For every class by key, whether there is any.
        scan: Address of the picture.
        heat: Addresses of the heat maps by class.
    """

    number: int
    series: int
    width: int
    height: int
    spacing: tuple[float, float] | None
    depth: float | None
    values: ValuesView | None
    volume: int | None
    uncertainty: float
    finding: FindingRecord
    regions: dict[str, Region | None]
    evidence: dict[str, bool]
    scan: str
    heat: dict[str, str]

    @classmethod
    def of(cls, row: Slice) -> SliceView:
        """A row as the API has it."""
        at = f"{BASE}/cases/{row.case_id}/slices/{row.number}"
        heat = {key: f"{at}/heat/{key}.png" for key in row.content["regions"]}
        found = row.content["finding"]
        record = {**found, "overlay": f"{at}/overlay/{found['explained']}.png", "heatmap": heat[found["explained"]]}
        return cls(**{**row.content, "finding": record}, scan=f"{at}/scan.png", heat=heat)


class UploadView(BaseModel):
    """A file that has arrived."""

    number: int
    size: int
    sha256: str


class FeedbackView(BaseModel):
    """A reader's word on a slice.

    Attributes:
        slice: Its number.
        reader: Who said it.
        said: When; seconds since 1970.
        verdict: "agree", "other" or "unsure".
        label: Key of the class it is, as they say; empty if unsure.
        comment: In their words.
        outline: Their outline of the tumour: "x,y x,y x,y …", fractions of width and height; or empty.
    """

    slice: int
    reader: str
    said: float
    verdict: str
    label: str
    comment: str
    outline: str

    @classmethod
    def of(cls, row: Feedback) -> FeedbackView:
        """A row as the API has it."""
        return cls(**row.model_dump(include=set(cls.model_fields)))
