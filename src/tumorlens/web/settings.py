"""How the page is run, with the limits that keep it standing."""

from __future__ import annotations

import ipaddress
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from tumorlens import limits
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.errors import ConfigError

LOCAL_NAMES = ("127.0.0.1", "localhost", "[::1]")


class Limits(BaseModel):
    """What an upload may be. Beyond it is refused, with the limit in the message.

    Attributes:
        files: Files of a case, those inside archives counted.
        file_bytes: Bytes of one file.
        case_bytes: Bytes of a case's files together, unpacked.
        seconds: Time for a case's analysis; it fails beyond.
        finding_seconds: Time for a scan that is answered at once.
        memory: Bytes a worker may take beyond what it holds after its start.
        reserve: Bytes of disk that stay free.
        waiting: Requests for findings that may wait for a worker.
    """

    model_config = ConfigDict(frozen=True)
    files: int = Field(limits.CASE_FILES, ge=1)
    file_bytes: int = Field(limits.FILE, ge=1)
    case_bytes: int = Field(limits.CASE, ge=1)
    seconds: float = Field(limits.CASE_SECONDS, gt=0)
    finding_seconds: float = Field(limits.FINDING_SECONDS, gt=0)
    memory: int = Field(limits.WORKER, ge=64 * limits.MB)
    reserve: int = Field(limits.SPARE_DISK, ge=0)
    waiting: int = Field(limits.WAITING, ge=1)


class Settings(BaseModel):
    """How the page is run.

    Attributes:
        home: Folder of the cases, the database and the secret.
        database: URL of a PostgreSQL database; empty takes a SQLite file in `home`.
        host: Address to bind to.
        port: Port to bind to.
        accounts: Whether people must log in, and programs have a token.
        https: Whether browsers reach the page by HTTPS, itself or through a proxy; cookies then never travel without.
        weights: Which weights answer.
        workers: Processes that read scans; the first is kept for what is quick.
        keep_days: Days after which a case is deleted.
        deidentify: Whether DICOM files are de-identified on arrival.
        rate: Requests a client may make, as `limits` writes it.
        login_rate: Attempts to log in that a client may make.
        reports: Folder of pages that audits, tests and validations wrote, to be shown too; or None.
        hosts: Host names that requests may come by; empty takes those of the machine the page is bound to.
        exchange: Folder that a node shares; its studies are cases here.
        limits: What an upload may be.
    """

    model_config = ConfigDict(frozen=True)
    home: Path
    database: str = ""
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    accounts: bool = False
    https: bool = False
    weights: str = DEFAULT_WEIGHTS
    workers: int = Field(2, ge=1, le=64)
    keep_days: float = Field(30, gt=0)
    deidentify: bool = True
    rate: str = "6000/minute"
    login_rate: str = "10/minute"
    reports: Path | None = None
    hosts: tuple[str, ...] = ()
    exchange: Path | None = None
    limits: Limits = Limits()

    @property
    def database_url(self) -> str:
        """The database as SQLAlchemy names it."""
        if not self.database:
            return f"sqlite:///{self.home / 'tumorlens.db'}"
        scheme, _, rest = self.database.partition("://")
        if scheme in ("postgresql", "postgres"):
            return f"postgresql+pg8000://{rest}"
        if scheme in ("sqlite", "postgresql+pg8000") and rest:
            return self.database
        raise ConfigError(f"--database {scheme}://…: give postgresql://USER:PASSWORD@HOST/NAME, or leave it out")

    @property
    def allowed_hosts(self) -> tuple[str, ...]:
        """Host names that requests may come by. On this machine alone, others are a page's that rebinds its name."""
        own = f"[{self.host}]" if ":" in self.host else self.host
        return self.hosts or (tuple(dict.fromkeys((*LOCAL_NAMES, own))) if is_local(self.host) else ())

    @property
    def cases(self) -> Path:
        """Folder of the cases."""
        return self.home / "cases"

    def prepare(self) -> bytes:
        """Makes the folder, for nobody else's eyes, and gives the secret in it; ConfigError if it cannot be written."""
        try:
            self.cases.mkdir(parents=True, exist_ok=True)
            self.home.chmod(0o700)
            secret = self.home / "secret"
            if not secret.exists():
                descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(secrets.token_bytes(32))
            if not self.database:
                # SQLite gives its other files the same mode.
                os.close(os.open(self.home / "tumorlens.db", os.O_WRONLY | os.O_CREAT, 0o600))
                (self.home / "tumorlens.db").chmod(0o600)
            return secret.read_bytes()
        except OSError as error:
            raise ConfigError(f"{self.home}: cannot be written ({error.strerror}); choose another --home") from error


def is_local(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def default_home() -> Path:
    """Where the page keeps its cases unless told otherwise, by the XDG base directory specification."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(os.environ.get("TUMORLENS_HOME") or Path(base) / "tumorlens")
