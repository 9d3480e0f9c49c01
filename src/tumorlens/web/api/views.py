"""What the API answers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from tumorlens.card import WeightsCard
from tumorlens.finding import SCHEMA, FindingRecord, FindingsDocument
from tumorlens.web.messages import SliceContent
from tumorlens.web.tables import Case, FailureView, Slice
from tumorlens.wording import STATES, in_words, set_in_words, study_in_words

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

    number: Literal[2] = Field(SCHEMA, alias="schema")


class ErrorAnswer(BaseModel):
    """What went wrong, and what to do about it."""

    error: str


def errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of answers with these statuses: each is an `ErrorAnswer`."""
    return {code: {"model": ErrorAnswer} for code in codes}


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
        retry: Whether it may be worth trying again, where it failed.
        linked: Identifier of an earlier case of the same person, as a reader linked it; or empty.
        axis: The plane that volumes are cut in.
        files: How many were uploaded.
        slices: How many were found so far.
        total: Files that hold slices, once they are counted.
        label: Key of the study's class; empty until it is done, and where every slice is unknown.
        confidence: The study's probability of it; 0 without one.
        uncertainty: 0 to 1; 1 for an unknown scan.
        unknown: Whether every slice is unlike those of the training.
        study: Finding of the study: see `tumorlens.study.StudyFinding`; its key slices by number.
        state: What the study's answer means, such as "Tumour suspected"; empty until it is done.
        words: The finding in a few words; empty until it is done.
        headline: The same in a line, with the most suspicious slices.
        verdict: What a reader said last: "agree", "other", "unsure", or empty.
        weights: Name of the weights that answered.
        weights_sha256: Of their file.
        version: Of TumorLens.
        origin: What the node that handed the case over calls it; empty for one that was uploaded.
    """

    id: str
    title: str
    owner: str
    created: float
    expires: float
    status: str
    error: str
    retry: bool
    linked: str
    axis: str
    files: int
    slices: int
    total: int
    label: str
    confidence: float
    uncertainty: float
    unknown: bool
    study: dict[str, Any] | None
    state: str
    words: str
    headline: str
    verdict: str
    weights: str
    weights_sha256: str
    version: str
    origin: str

    @classmethod
    def of(cls, case: Case, keep_days: float, verdict: str = "") -> CaseView:
        """A row as the API has it."""
        study = case.study
        same = cls.model_fields.keys() - {"expires", "verdict", "weights", "state", "words", "headline"}
        return cls(
            **case.model_dump(include=same),
            expires=case.created + keep_days * 86400,
            state=STATES[study["answer"]] if study else "",
            words=study["text"] if study else "",
            headline=study_in_words(study["text"], () if study["unknown"] else study["key_slices"]) if study else "",
            verdict=verdict,
            weights=case.weights_name,
        )


class CaseList(BaseModel):
    """A part of the worklist, and how many cases there are in all."""

    total: int
    cases: list[CaseView]


class CaseDetail(CaseView):
    """A case, and its files that could not be read."""

    failures: Sequence[FailureView] = Field(default_factory=list)


class SliceView(SliceContent):
    """A slice and its finding, with the addresses of its pictures.

    Attributes:
        words: The finding in a few words.
        prediction_set: The prediction set in words, with its coverage; empty where it adds nothing.
        scan: Address of the picture.
        heat: Addresses of the heat maps, by the same classes as the regions.
    """

    words: str
    prediction_set: str
    scan: str
    heat: dict[str, str]

    @classmethod
    def of(cls, row: Slice, card: WeightsCard) -> SliceView:
        """A row as the API has it."""
        at = f"{BASE}/cases/{row.case_id}/slices/{row.number}"
        heat = {key: f"{at}/heat/{key}.png" for key in row.content["regions"]}
        finding = FindingRecord.model_validate(row.content["finding"])
        if (key := finding.explained) in heat:
            finding = finding.model_copy(update={"overlay": f"{at}/overlay/{key}.png", "heatmap": heat[key]})
        words, set_words = in_words(finding.probabilities, card.classes), set_in_words(finding, card)
        content = {**row.content, "finding": finding, "words": words, "prediction_set": set_words}
        return cls(**content, scan=f"{at}/scan.png", heat=heat)
