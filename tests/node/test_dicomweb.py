"""DICOMweb as a client: bytes come as they are, failures are told, and secrets go where they belong. No sockets."""

from __future__ import annotations

import contextlib
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from python_multipart.exceptions import FormParserError

from rehearsal.phantoms import make_instance, write_study
from tests.node.web_pacs import WebPacs
from tumorlens.errors import ConfigError, PeerError
from tumorlens.node.config import WebPeer
from tumorlens.node.delivery import Outgoing
from tumorlens.node.dicomweb import STUDY, DicomWeb, Parts, WebSender, value

PEER = WebPeer(name="web", url="http://pacs.example/dicom-web")


@pytest.fixture
def pacs() -> WebPacs:
    filled = WebPacs()
    for number in (1, 2, 3):
        filled.add(make_instance("web", number))
    return filled


@pytest.fixture
def web(pacs: WebPacs) -> DicomWeb:
    return DicomWeb(PEER, pacs.transport)


UID = str(make_instance("web").StudyInstanceUID)


def test_studies_are_found(web: DicomWeb) -> None:
    assert [value(item, STUDY) for item in web.search_studies(StudyDate="20260101-")] == [UID]


def test_a_long_list_comes_page_by_page(web: DicomWeb, pacs: WebPacs) -> None:
    for number in range(4, 404):
        pacs.add(make_instance("web", number, size=4))
    assert len(set(web.search_instances(UID))) == 403
    assert pacs.asked("/instances") == 3


def test_a_study_comes_as_the_bytes_that_the_server_has(web: DicomWeb, pacs: WebPacs) -> None:
    pacs.add(make_instance("web", 4), b"no DICOM at all\r\n--xy\r\n\r\n")
    assert list(web.retrieve_study(UID)) == list(pacs.instances.values())


def test_one_instance_comes(web: DicomWeb, pacs: WebPacs) -> None:
    ds = make_instance("web", 2)
    sop = str(ds.SOPInstanceUID)
    assert web.retrieve_instance(UID, str(ds.SeriesInstanceUID), sop) == pacs.instances[sop]


def test_an_answer_that_is_cut_off_is_an_error(web: DicomWeb, pacs: WebPacs) -> None:
    kind = {"Content-Type": "multipart/related; boundary=b"}
    pacs.fault = lambda _: httpx.Response(200, content=b"--b\r\n\r\n1234\r\n--b\r\n\r\n56", headers=kind)
    parts = web.retrieve_study(UID)
    assert next(parts) == b"1234"
    with pytest.raises(PeerError, match="cut off"):
        next(parts)


def test_a_result_is_stored(web: DicomWeb, pacs: WebPacs, tmp_path: Path) -> None:
    (path,) = write_study(tmp_path, "stow", 1)
    result = Outgoing(str(make_instance("stow").SOPInstanceUID), "", path)
    assert list(WebSender(web).send([result])) == [(result, None)]
    assert pacs.instances[result.sop] == path.read_bytes()


def _refusal(reason: int) -> dict[str, object]:
    item = {"00081155": {"vr": "UI", "Value": ["1.2"]}, "00081197": {"vr": "US", "Value": [reason]}}
    return {"00081198": {"vr": "SQ", "Value": [item]}}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (httpx.Response(200, json={}), None),
        (httpx.Response(200, content=b"<NativeDicomModel/>"), None),
        (httpx.Response(202, json=_refusal(0xA700)), "web: does not store it (failure reason A700)"),
        (httpx.Response(409, json=_refusal(0x0110)), "web: does not store it (failure reason 0110)"),
        (httpx.Response(409, json=_refusal(0x0111)), None),  # it has it already
        (httpx.Response(409, json=[1]), "web: answered with HTTP 409"),
        (httpx.Response(503), "web: answered with HTTP 503"),
    ],
)
def test_what_a_server_says_of_storing(
    web: DicomWeb, pacs: WebPacs, answer: httpx.Response, problem: str | None
) -> None:
    pacs.fault = lambda _: answer
    assert web.store(b"DICM") == problem


def _down(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("connection to Phantom^Node refused", request=request)


def test_no_answer_is_a_peer_error_that_quotes_nothing(web: DicomWeb, pacs: WebPacs) -> None:
    pacs.fault = _down
    for ask in (
        lambda: web.store(b""),
        lambda: list(web.search_studies()),
        lambda: list(web.retrieve_study(UID)),
        lambda: web.retrieve_instance(UID, "1", "2"),
    ):
        with pytest.raises(PeerError, match=r"^web: no answer \(ConnectError\)$"):
            ask()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"{}", b"[1]"])
def test_nonsense_is_a_peer_error(web: DicomWeb, pacs: WebPacs, content: bytes) -> None:
    pacs.fault = lambda _: httpx.Response(200, content=content)
    with pytest.raises(PeerError):
        list(web.search_studies())
    with pytest.raises(PeerError):
        list(web.retrieve_study(UID))


def test_found_nothing_may_be_said_without_content(web: DicomWeb, pacs: WebPacs) -> None:
    pacs.fault = lambda _: httpx.Response(204)
    assert list(web.search_studies()) == []


def test_secrets_are_sent_and_never_written_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization", ""))
        return httpx.Response(200, json=[])

    monkeypatch.setenv("NODE_TEST_SECRET", "s3cret")
    for more in ({"user": "u", "password_variable": "NODE_TEST_SECRET"}, {"token_variable": "NODE_TEST_SECRET"}):
        list(DicomWeb(PEER.model_copy(update=more), httpx.MockTransport(answer)).search_studies())
    assert [header.split()[0] for header in seen] == ["Basic", "Bearer"]
    with pytest.raises(ConfigError, match="not set"):
        DicomWeb(PEER.model_copy(update={"token_variable": "NODE_TEST_NONE"}))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4), st.integers(1, 40))
def test_parts_come_whole_however_the_message_is_cut(contents: list[bytes], step: int) -> None:
    message = b"".join(b"--Bound\r\nContent-Type: application/dicom\r\n\r\n" + c + b"\r\n" for c in contents)
    message += b"--Bound--\r\n"
    parts = Parts('multipart/related; type="application/dicom"; boundary="Bound"')
    found = [part for i in range(0, len(message), step) for part in parts.feed(message[i : i + step])]
    assert found == contents
    assert parts.ended


@settings(deadline=None)
@given(st.binary(max_size=200), st.text(max_size=30))
def test_hostile_messages_are_errors_and_no_crashes(message: bytes, boundary: str) -> None:
    with contextlib.suppress(FormParserError):
        Parts(f"multipart/related; boundary={boundary}").feed(message)
