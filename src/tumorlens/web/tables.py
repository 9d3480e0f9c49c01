"""What the database holds, and what of it the API shows: the views. Times are seconds since 1970, in UTC."""

import secrets
import time
from typing import Any

from sqlalchemy import JSON, Column, Text
from sqlmodel import Field, SQLModel

UPLOADING, WAITING, READING, DONE, FAILED = STATES = ("uploading", "waiting", "reading", "done", "failed")
READER, ADMIN = ROLES = ("reader", "admin")
AGREE, OTHER, UNSURE = VERDICTS = ("agree", "other", "unsure")


def new_id() -> str:
    """An identifier that cannot be guessed."""
    return secrets.token_hex(8)


class Case(SQLModel, table=True):
    """Scans that were dropped together, and what came of them."""

    __tablename__ = "cases"
    id: str = Field(default_factory=new_id, primary_key=True)
    title: str
    owner: str
    created: float = Field(default_factory=time.time, index=True)
    touched: float = Field(default_factory=time.time)
    status: str = Field(default=UPLOADING, index=True)
    error: str = Field(default="", sa_type=Text)
    retry: bool = False
    linked: str = ""
    axis: str = "axial"
    attempts: int = 0
    files: int = 0
    size: int = 0
    slices: int = 0
    total: int = 0
    label: str = Field(default="", index=True)
    confidence: float = 0.0
    uncertainty: float = Field(default=0.0, index=True)
    unknown: bool = False
    study: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON))
    weights_name: str = ""
    weights_sha256: str = ""
    version: str = ""
    origin: str = Field(default="", index=True)  # of a case that a node handed over: what the node calls the study


class UploadView(SQLModel):
    """A file that has arrived."""

    number: int = Field(primary_key=True)
    size: int
    sha256: str = Field(index=True)


class Upload(UploadView, table=True):
    """A file of a case, as it came."""

    __tablename__ = "uploads"
    case_id: str = Field(primary_key=True, foreign_key="cases.id", ondelete="CASCADE")
    name: str


class Slice(SQLModel, table=True):
    """A scan of a case with its finding, as JSON has it."""

    __tablename__ = "slices"
    case_id: str = Field(primary_key=True, foreign_key="cases.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    series: int = 0
    content: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class FailureView(SQLModel):
    """A file that could not be read."""

    name: str
    error: str = Field(sa_type=Text)


class FailedFile(FailureView, table=True):
    """A file of a case that could not be read."""

    __tablename__ = "failed_files"
    id: int | None = Field(default=None, primary_key=True)
    case_id: str = Field(foreign_key="cases.id", ondelete="CASCADE", index=True)


class FeedbackView(SQLModel):
    """A reader's assessment of a slice.

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
    comment: str = Field(sa_type=Text)
    outline: str = Field(sa_type=Text)


class Feedback(FeedbackView, table=True):
    """A reader's assessment of a slice. A later one of the same reader counts; none is overwritten."""

    __tablename__ = "feedback"
    id: int | None = Field(default=None, primary_key=True)
    case_id: str = Field(foreign_key="cases.id", ondelete="CASCADE", index=True)
    said: float = Field(default_factory=time.time)
    comment: str = Field(default="", sa_type=Text)
    outline: str = Field(default="", sa_type=Text)


class MeasurementView(SQLModel):
    """A measurement in a slice.

    Attributes:
        id: Its number, from 1.
        slice: Number of the slice.
        reader: Who made it.
        made: When; seconds since 1970.
        kind: "length", "angle", "ellipse" or "rectangle".
        points: "x,y x,y", fractions of width and height: ends, or opposite corners of the box around it.
        text: What was measured, in words.
        unit: Of length and area: "mm" and mm², or "pixels" where the spacing is unknown.
        length: Of a length.
        angle: In degrees.
        area: Of an ellipse or rectangle.
        mean: Of the values inside, in the file's own units.
        spread: Their standard deviation.
        least: Their least.
        most: Their greatest.
    """

    id: int | None = Field(default=None, primary_key=True)
    slice: int
    reader: str
    made: float = Field(default_factory=time.time)
    kind: str
    points: str = Field(sa_type=Text)
    text: str = Field(sa_type=Text)
    unit: str
    length: float | None = None
    angle: float | None = None
    area: float | None = None
    mean: float | None = None
    spread: float | None = None
    least: float | None = None
    most: float | None = None


class Measurement(MeasurementView, table=True):
    """A measurement in a slice."""

    __tablename__ = "measurements"
    case_id: str = Field(foreign_key="cases.id", ondelete="CASCADE", index=True)


class Draft(SQLModel, table=True):
    """What a reader is about to say of a slice, as they last typed it; None in place of it where there is nothing.

    The row stays when its content is saved or thrown away: each change counts its version on, so that whoever changes
    what another tab has changed since can be told.
    """

    __tablename__ = "drafts"
    case_id: str = Field(primary_key=True, foreign_key="cases.id", ondelete="CASCADE")
    slice: int = Field(primary_key=True)
    reader: str = Field(primary_key=True)
    version: int = 0
    touched: float = Field(default_factory=time.time)
    content: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))


class Sending(SQLModel, table=True):
    """Assessments of a case that a reader sent back to the node, and what became of them.

    Attributes:
        verified: Whether the reader vouches for them, as a person who logged in.
        slices: How many slices are spoken of.
        state: "waiting", "delivered" or "failed".
        note: Why it failed.
    """

    __tablename__ = "sendings"
    id: str = Field(default_factory=new_id, primary_key=True)
    case_id: str = Field(foreign_key="cases.id", ondelete="CASCADE", index=True)
    reader: str
    sent: float = Field(default_factory=time.time)
    verified: bool = False
    slices: int = 0
    state: str = Field(default="waiting", index=True)
    note: str = Field(default="", sa_type=Text)


class AccountView(SQLModel):
    """An account."""

    name: str = Field(primary_key=True)
    role: str
    created: float


class Account(AccountView, table=True):
    """Somebody who may log in."""

    __tablename__ = "accounts"
    password: str
    created: float = Field(default_factory=time.time)
    disabled: bool = False


class Visit(SQLModel, table=True):
    """A browser that is logged in. The key is the SHA-256 of its cookie."""

    __tablename__ = "visits"
    key: str = Field(primary_key=True)
    account: str = Field(foreign_key="accounts.name", ondelete="CASCADE")
    expires: float


class TokenView(SQLModel):
    """A token, without itself."""

    id: str
    account: str = Field(foreign_key="accounts.name", ondelete="CASCADE")
    purpose: str
    created: float
    expires: float


class Token(TokenView, table=True):
    """What a program shows instead of a password. The key is its SHA-256."""

    __tablename__ = "tokens"
    key: str = Field(primary_key=True)
    id: str = Field(default_factory=new_id, index=True, unique=True)
    created: float = Field(default_factory=time.time)


class EventView(SQLModel):
    """A line of the audit log."""

    id: int
    at: float
    who: str
    action: str
    case_id: str
    detail: str = Field(sa_type=Text)


class Event(EventView, table=True):
    """A line of the audit log. The database refuses to change or delete one."""

    __tablename__ = "events"
    id: int | None = Field(default=None, primary_key=True)  # type: ignore[assignment]
    previous: str
    digest: str
