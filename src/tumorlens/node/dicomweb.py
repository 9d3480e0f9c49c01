"""DICOMweb (PS3.18) as a client: studies are searched for (QIDO-RS), retrieved (WADO-RS) and stored (STOW-RS).

Instances come and go as the bytes they are; a client that decodes them would lose a study over one bad instance.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from tumorlens.errors import ConfigError, PeerError
from tumorlens.node.config import WebPeer
from tumorlens.node.delivery import Outgoing
from tumorlens.node.privacy import quieten

_JSON = "application/dicom+json"
_DICOM = "application/dicom"
_ANY_SYNTAX = f'multipart/related; type="{_DICOM}"; transfer-syntax=*'  # as it is stored; no transcoding
_HAS_IT_ALREADY = 0x0111  # PS3.7 C.5.8, duplicate SOP instance
_PAGE = 200
_FAILED = "00081198"
# Of the answers of a search (PS3.18 F).
STUDY, SERIES, INSTANCE, COUNT = "0020000D", "0020000E", "00080018", "00201208"


Kind = TypeVar("Kind")


class Attribute(BaseModel):
    """An attribute in DICOM JSON (PS3.18 F.2.2), as far as we need one."""

    Value: list[Any] = []


Item = dict[str, Attribute]
"""A data set in DICOM JSON, by tag."""


class Web:
    """An HTTP client of one server. `transport` carries requests in place of the network."""

    def __init__(self, peer: WebPeer, transport: httpx.BaseTransport | None = None) -> None:
        quieten()
        token = peer.token_variable
        headers = {"Authorization": f"Bearer {peer.secret(token)}"} if token else {}
        auth = (peer.user, peer.secret(peer.password_variable)) if peer.user else None
        try:
            verify: Any = httpx.create_ssl_context(verify=str(peer.authority)) if peer.authority else True
        except OSError as error:
            raise ConfigError(f"{peer.name}: the authority cannot be used ({error.strerror or error})") from error
        self.peer = peer
        self._client = httpx.Client(
            base_url=peer.url.rstrip("/") + "/",
            auth=auth,
            headers=headers,
            verify=verify,
            timeout=peer.seconds,
            transport=transport,
        )

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to a request, with httpx's options, below the server's URL.

        Raises:
            PeerError: If there is no answer, or not one of success. Neither the path nor the answer is quoted: they
                may hold what identifies a patient.
        """
        with self._answering():
            return self._successful(self._client.request(method, path, **options))

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise PeerError(f"{self.peer.name}: no answer ({type(error).__name__})") from error

    def _successful(self, answer: httpx.Response) -> httpx.Response:
        if not answer.is_success:
            raise PeerError(f"{self.peer.name}: answered with HTTP {answer.status_code}")
        return answer

    def json(self, path: str, kind: type[Kind], **options: Any) -> Kind:
        """What a GET request answers, in JSON, of a kind that pydantic checks; errors are those of `ask`."""
        answer = self.ask("GET", path, **options)
        nothing = answer.status_code == httpx.codes.NO_CONTENT  # how some say that they found nothing
        try:
            return TypeAdapter(kind).validate_json(b"[]" if nothing else answer.content)
        except ValidationError as error:
            raise PeerError(f"{self.peer.name}: the answer makes no sense") from error


class DicomWeb(Web):
    """A DICOMweb server."""

    def search_studies(self, **filters: str) -> Iterator[Item]:
        """QIDO-RS: the studies that match, such as StudyDate="20260101-", each as DICOM JSON; page by page."""
        return self._search("studies", {**filters, "includefield": COUNT})

    def search_instances(self, study: str) -> list[tuple[str, str]]:
        """QIDO-RS: SeriesInstanceUID and SOPInstanceUID of each instance of a study."""
        items = self._search(f"studies/{study}/instances", {})
        return [(value(item, SERIES), value(item, INSTANCE)) for item in items]

    def _search(self, path: str, filters: dict[str, str]) -> Iterator[Item]:
        offset = 0
        while True:
            params = {**filters, "limit": _PAGE, "offset": offset}
            page = self.json(path, list[Item], params=params, headers={"Accept": _JSON})
            yield from page
            if len(page) < _PAGE:
                return
            offset += len(page)

    def retrieve_study(self, study: str) -> Iterator[bytes]:
        """WADO-RS: the instances of a study, each a DICOM file, as the server has it. One is in memory at a time."""
        return self._retrieve(f"studies/{study}")

    def retrieve_instance(self, study: str, series: str, instance: str) -> bytes:
        """WADO-RS: one instance, a DICOM file."""
        for content in self._retrieve(f"studies/{study}/series/{series}/instances/{instance}"):
            return content
        raise PeerError(f"{self.peer.name}: answered with no instance")

    def _retrieve(self, path: str) -> Iterator[bytes]:
        try:
            with self._answering(), self._client.stream("GET", path, headers={"Accept": _ANY_SYNTAX}) as answer:
                parts = Parts(self._successful(answer).headers.get("Content-Type", ""))
                for chunk in answer.iter_bytes():
                    yield from parts.feed(chunk)
                if not parts.ended:
                    raise PeerError(f"{self.peer.name}: the answer was cut off")
        except FormParserError as error:
            raise PeerError(f"{self.peer.name}: the answer is no multipart message") from error

    def store(self, content: bytes) -> str | None:
        """STOW-RS of one instance, a DICOM file: so one that is refused holds up no other.

        Gives why the server does not have it, or None if it does; one that it had before counts.
        """
        boundary = uuid.uuid4().hex
        head, foot = f"--{boundary}\r\nContent-Type: {_DICOM}\r\n\r\n", f"\r\n--{boundary}--\r\n"
        kind = f'multipart/related; type="{_DICOM}"; boundary={boundary}'
        headers = {"Content-Type": kind, "Accept": _JSON}
        with self._answering():
            body = head.encode() + content + foot.encode()
            answer = self._client.request("POST", "studies", content=body, headers=headers)
        reasons = _failure_reasons(answer)
        if reasons and all(reason == _HAS_IT_ALREADY for reason in reasons):
            return None
        if reasons:
            return f"{self.peer.name}: does not store it (failure reason {reasons[0]:04X})"
        return None if answer.is_success else f"{self.peer.name}: answered with HTTP {answer.status_code}"


class WebSender:
    """Brings results to a destination by STOW-RS; see `delivery.Sender`."""

    def __init__(self, web: DicomWeb) -> None:
        self._web = web

    def send(self, results: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, str | None]]:
        """Sends results one by one."""
        for result in results:
            try:
                content = result.path.read_bytes()
            except OSError as error:
                yield result, f"the result's file cannot be read ({error.strerror})"
                continue
            yield result, self._web.store(content)

    def ask_commitment(self, results: Sequence[Outgoing], transaction: str) -> None:
        """Has no counterpart in STOW-RS, whose answer is the commitment."""
        raise NotImplementedError


class Parts:
    """Takes a multipart/related message apart, as it comes; FormParserError if its header names another kind."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type.encode("latin-1", "replace"))
        if kind != b"multipart/related" or b"boundary" not in options:
            raise FormParserError("not a multipart message")
        self.ended = False
        self._parts: list[bytearray] = []
        self._whole: list[bytes] = []
        callbacks: Any = {
            "on_part_begin": lambda: self._parts.append(bytearray()),
            "on_part_data": lambda data, start, end: self._parts[-1].extend(data[start:end]),
            "on_part_end": lambda: self._whole.append(bytes(self._parts.pop())),
            "on_end": lambda: setattr(self, "ended", True),
        }
        self._parser = MultipartParser(options[b"boundary"], callbacks)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Takes the next bytes; gives the parts that ended with them."""
        self._parser.write(chunk)
        whole, self._whole = self._whole, []
        return whole


def value(item: Item, tag: str) -> str:
    """The first value of an attribute in DICOM JSON; empty where it has none."""
    return str(item[tag].Value[0]) if tag in item and item[tag].Value else ""


def _failure_reasons(answer: httpx.Response) -> list[int]:
    """Of the failed SOP sequence of a Store Instances response (PS3.18 I.2.2)."""
    try:
        content = TypeAdapter(Item | list[Item]).validate_json(answer.content)
        response = content if isinstance(content, dict) else content[0]
        items = TypeAdapter(list[Item]).validate_python(response[_FAILED].Value) if _FAILED in response else []
        return [int(value(item, "00081197") or 0) for item in items]
    except (ValueError, IndexError):
        return []  # XML, or nothing: then the status alone says
