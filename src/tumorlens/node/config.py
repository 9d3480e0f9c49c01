"""node.yaml: who the node is, whom it listens to, which series it takes, and where results go."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tumorlens.errors import ConfigError
from tumorlens.node.rules import SeriesRule


def _title(value: str) -> str:
    # PS3.5 6.2, value representation AE: at most 16 characters, no control character, no backslash.
    if not re.fullmatch(r"[ -\[\]-~]{1,16}", value) or not value.strip():
        raise ValueError("an AE title has 1 to 16 ASCII characters, none of them a backslash")
    return value.strip()


def _from_base(path: Path, info: ValidationInfo) -> Path:
    """A path, from the folder of node.yaml where it is relative."""
    base: Path | None = info.context
    return base / path.expanduser() if base else path


def _network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


File = Annotated[Path, AfterValidator(_from_base)]
AETitle = Annotated[str, AfterValidator(_title)]
Network = Annotated[str, AfterValidator(_network)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TLS(_Settings):
    """Certificates, PEM files each, as PS3.15 B.12 (BCP 195) wants them used: TLS 1.2 or newer.

    Attributes:
        certificate: Our own, with its chain.
        key: Its private key.
        authority: Certificates of those who may sign the other side's; the system's where there is none. The node
            itself asks for a client's certificate only if this is given.
        hostname: The name that a server's certificate must carry; the host's name where there is none.
    """

    certificate: File | None = None
    key: File | None = None
    authority: File | None = None
    hostname: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> TLS:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together")
        return self

    def server(self) -> ssl.SSLContext:
        """For associations that others open."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.authority)
        if self.authority:
            context.verify_mode = ssl.CERT_REQUIRED
        return self._with_certificate(context)

    def client(self) -> ssl.SSLContext:
        """For associations that we open."""
        return self._with_certificate(ssl.create_default_context(cafile=self.authority))

    def _with_certificate(self, context: ssl.SSLContext) -> ssl.SSLContext:
        if self.certificate:
            context.load_cert_chain(self.certificate, self.key)
        return context


class Caller(_Settings):
    """Who may open an association: a calling AE title.

    Attributes:
        addresses: IP addresses or networks it may come from, such as 10.0.0.0/24; any where there is none.
    """

    ae_title: AETitle
    addresses: tuple[Network, ...] = ()


class DicomPeer(_Settings):
    """A DICOM application entity.

    Attributes:
        name: What we call it.
        host: Host name or IP address.
        tls: How to speak TLS with it; None for plain TCP.
        seconds: How long to wait for an answer.
    """

    name: Name
    host: str
    port: Port
    ae_title: AETitle
    tls: TLS | None = None
    seconds: Seconds = 30


class WebPeer(_Settings):
    """A DICOMweb server (PS3.18), or Orthanc's own REST interface.

    Attributes:
        name: What we call it.
        url: Root of its services, such as http://localhost:8042/dicom-web.
        user: User name for HTTP's basic authentication.
        password_variable: Environment variable with the password: secrets do not stand in the file.
        token_variable: Environment variable with a bearer token, instead.
        authority: PEM file of who may sign its certificate; the system's where there is none.
        seconds: How long to wait for an answer.
    """

    name: Name
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    user: str | None = None
    password_variable: str | None = None
    token_variable: str | None = None
    authority: File | None = None
    seconds: Seconds = 30

    def secret(self, variable: str | None) -> str:
        """The value of an environment variable; ConfigError if it is not set."""
        if variable is None or variable not in os.environ:
            raise ConfigError(f"{self.name}: the environment variable {variable or 'password_variable'} is not set")
        return os.environ[variable]


class DicomDestination(DicomPeer):
    """Takes results by C-STORE.

    Attributes:
        commitment: Whether it offers storage commitment (PS3.4 J); results then count once it has said so.
        commitment_seconds: How long to wait for its word before asking again.
    """

    commitment: bool = False
    commitment_seconds: Seconds = 600


class WebDestination(WebPeer):
    """Takes results by STOW-RS."""


def _kind(value: Any) -> str:
    return "STOW-RS" if isinstance(value, WebDestination) or (isinstance(value, dict) and "url" in value) else "C-STORE"


Destination = Annotated[
    Annotated[DicomDestination, Tag("C-STORE")] | Annotated[WebDestination, Tag("STOW-RS")], Discriminator(_kind)
]
"""Where results go: with a `url` by STOW-RS, else by C-STORE."""


class StudySource(DicomPeer):
    """Gives studies on demand (PS3.4 C).

    Attributes:
        retrieve: "move" has it send to our AE title, which it must know; "get" takes them in the same association.
    """

    retrieve: Annotated[str, Field(pattern="^(move|get)$")] = "move"


class Feed(WebPeer):
    """A server that is watched for new studies.

    Attributes:
        kind: "qido" asks a DICOMweb server for studies (QIDO-RS); "orthanc" follows an Orthanc's list of changes.
        every: Seconds between two looks.
        days: QIDO-RS only: how old, by StudyDate, a study may be.
        since: Orthanc only: "now" for what comes from the first start on, "beginning" for all it has.
    """

    kind: Annotated[str, Field(pattern="^(qido|orthanc)$")]
    every: Annotated[float, Field(gt=0)] = 30
    days: Annotated[int, Field(ge=0)] = 2
    since: Annotated[str, Field(pattern="^(now|beginning)$")] = "now"


class Analysis(_Settings):
    """Limits of the process that analyses.

    Attributes:
        seconds: A study may take that long.
        megabytes: What it may take beyond its weights for a study; 0 sets no limit.
        tries: A study that fails so often becomes a dead letter.
    """

    seconds: Annotated[float, Field(gt=0)] = 900
    megabytes: Annotated[int, Field(ge=0)] = 8192
    tries: Annotated[int, Field(ge=1)] = 3


class Retries(_Settings):
    """How often and when something that failed is tried again: after `first` seconds, twice that, and so on.

    Attributes:
        tries: So many failures make a dead letter; the default lasts about three days.
        first: Seconds after the first failure.
        longest: Seconds after any failure at most.
    """

    tries: Annotated[int, Field(ge=1)] = 100
    first: Annotated[float, Field(gt=0)] = 5
    longest: Annotated[float, Field(gt=0)] = 3600


class PageRule(_Settings):
    """What the page gets, and where its readers' assessments go.

    Attributes:
        folder: What node and page share; "page" in the node's folder where there is none.
        identify: Whether the page is told who the patients are.
        destinations: Names of those that get assessments; all of them where none is named.
        organization: Of the readers, as a verified report names it; without it none is verified.
    """

    folder: File | None = None
    identify: bool = False
    destinations: tuple[Name, ...] | None = None
    organization: Annotated[str, Field(max_length=64)] = ""


class NodeConfig(_Settings):
    """All of node.yaml.

    Attributes:
        folder: Spool, state and results; on a local disk, readable by the node's user only.
        ae_title: Ours.
        bind: Address to listen on.
        port: TCP port to listen on; 0 takes a free one.
        weights: Those that analyse.
        quiet_seconds: A study is complete when nothing of it has come for that long.
        keep_days: Studies that are done are forgotten when nothing of them has come for that long; None keeps all.
        callers: Who may open an association; anyone where there is none.
        associations: So many at a time.
        tls: Set for DICOM over TLS.
        rules: Which series are taken: those that one rule takes.
        analysis: Limits.
        retries: For deliveries and pulls.
        destinations: Each gets every result.
        sources: For `tumorlens node pull`.
        feeds: Servers that are watched.
        page: Set where `tumorlens serve` shows the node's studies.
    """

    folder: File
    ae_title: AETitle = "TUMORLENS"
    bind: str = "127.0.0.1"
    port: Port = 11112
    weights: str | None = None
    quiet_seconds: Seconds = 60
    keep_days: Annotated[float, Field(gt=0)] | None = None
    callers: tuple[Caller, ...] = ()
    associations: Annotated[int, Field(ge=1, le=500)] = 20
    tls: TLS | None = None
    rules: Annotated[tuple[SeriesRule, ...], Field(min_length=1)] = (SeriesRule(),)
    analysis: Analysis = Analysis()
    retries: Retries = Retries()
    destinations: tuple[Destination, ...] = ()
    sources: tuple[StudySource, ...] = ()
    feeds: tuple[Feed, ...] = ()
    page: PageRule | None = None

    @property
    def exchange(self) -> Path:
        """The folder that node and page share."""
        return (self.page and self.page.folder) or self.folder / "page"

    @property
    def for_assessments(self) -> tuple[str, ...]:
        """Names of the destinations that get assessments."""
        chosen = None if self.page is None else self.page.destinations
        return tuple(d.name for d in self.destinations) if chosen is None else chosen

    @model_validator(mode="after")
    def _knows_its_destinations(self) -> NodeConfig:
        if unknown := set(self.for_assessments) - {d.name for d in self.destinations}:
            raise ValueError(f"page.destinations: {', '.join(sorted(unknown))} is not among destinations")
        return self

    @field_validator("tls")
    @classmethod
    def _has_certificate(cls, tls: TLS | None) -> TLS | None:
        if tls is not None and tls.certificate is None:
            raise ValueError("a server needs certificate and key")
        return tls

    @field_validator("destinations", "sources", "feeds")
    @classmethod
    def _named_once(cls, peers: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [peer.name for peer in peers]
        if len(set(names)) < len(names):
            raise ValueError("two have the same name")
        return peers


def read_node_config(path: Path) -> NodeConfig:
    """Reads node.yaml. Paths in it are relative to its folder.

    Raises:
        ConfigError: If it cannot be read, or a setting is unknown or out of range; the message names each.
    """
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path}: holds no settings; write lines such as 'ae_title: TUMORLENS'")
    try:
        return NodeConfig.model_validate(settings, context=path.parent)
    except ValidationError as error:
        problems = "; ".join(f"{_place(e['loc'])}: {_problem(e)}" for e in error.errors())
        raise ConfigError(f"{path}: {problems}") from error


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location if part not in ("C-STORE", "STOW-RS"))


def _problem(error: Any) -> str:
    return "there is no such setting" if error["type"] == "extra_forbidden" else str(error["msg"])
