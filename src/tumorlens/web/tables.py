"""What the database holds. Times are seconds since 1970, in UTC."""

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
    error: str = Field(default="", sa_column=Column(Text, nullable=False))
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


class Upload(SQLModel, table=True):
    """A file of a case, as it came."""

    __tablename__ = "uploads"
    case_id: str = Field(primary_key=True, foreign_key="cases.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    name: str
    size: int
    sha256: str = Field(index=True)


class Slice(SQLModel, table=True):
    """A scan of a case with its finding, as JSON has it."""

    __tablename__ = "slices"
    case_id: str = Field(primary_key=True, foreign_key="cases.id", ondelete="CASCADE")
    number: int = Field(primary_key=True)
    series: int = 0
    content: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class FailedFile(SQLModel, table=True):
    """A file of a case that could not be read."""

    __tablename__ = "failed_files"
    id: int | None = Field(default=None, primary_key=True)
    case_id: str = Field(foreign_key="cases.id", ondelete="CASCADE", index=True)
    name: str
    error: str = Field(sa_column=Column(Text, nullable=False))


class Feedback(SQLModel, table=True):
    """A reader's assessment of a slice. A later one of the same reader counts; none is overwritten."""

    __tablename__ = "feedback"
    id: int | None = Field(default=None, primary_key=True)
    case_id: str = Field(foreign_key="cases.id", ondelete="CASCADE", index=True)
    slice: int
    reader: str
    said: float = Field(default_factory=time.time)
    verdict: str
    label: str
    comment: str = Field(default="", sa_column=Column(Text, nullable=False))
    outline: str = Field(default="", sa_column=Column(Text, nullable=False))


class Account(SQLModel, table=True):
    """Somebody who may log in."""

    __tablename__ = "accounts"
    name: str = Field(primary_key=True)
    password: str
    role: str
    created: float = Field(default_factory=time.time)
    disabled: bool = False


class Visit(SQLModel, table=True):
    """A browser that is logged in. The key is the SHA-256 of its cookie."""

    __tablename__ = "visits"
    key: str = Field(primary_key=True)
    account: str = Field(foreign_key="accounts.name", ondelete="CASCADE")
    expires: float


class Token(SQLModel, table=True):
    """What a program shows instead of a password. The key is its SHA-256."""

    __tablename__ = "tokens"
    key: str = Field(primary_key=True)
    id: str = Field(default_factory=new_id, index=True, unique=True)
    account: str = Field(foreign_key="accounts.name", ondelete="CASCADE")
    purpose: str
    created: float = Field(default_factory=time.time)
    expires: float


class Event(SQLModel, table=True):
    """A line of the audit log. The database refuses to change or delete one."""

    __tablename__ = "events"
    id: int | None = Field(default=None, primary_key=True)
    at: float
    who: str
    action: str
    case_id: str = ""
    detail: str = Field(default="", sa_column=Column(Text, nullable=False))
    previous: str
    digest: str
