"""The page's port as slow and greedy clients meet it: they are closed or make room, and others are answered."""

from __future__ import annotations

import asyncio
import http.client
import resource
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from rehearsal.kills import wait_for
from tumorlens import limits
from tumorlens.web import connections
from tumorlens.web.connections import HANDFUL, Connection, Connections, Porch, raise_files

_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
_GREEDY = b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n"

_REFUSED = (503, 0)  # a close may overtake the answer that says why
_PATIENCE = 60.0  # seconds for what takes milliseconds, on a machine that does much else

Serve = Callable[..., int]


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, and answers with a little; at /large, with much."""
    while scope["method"] == "POST" and (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(400 if scope["path"] == "/large" else 1):
        await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
    await send({"type": "http.response.body"})


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serves the application, and gives the port."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(*, proxied: bool = False, **options: Any) -> int:
        bound = Porch(socket.AF_INET, socket.SOCK_STREAM)
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        protocol: Any = partial(Connection, Connections(bound, proxied=proxied))
        config = uvicorn.Config(_app, http=protocol, lifespan="off", log_config=None, backlog=HANDFUL, **options)
        server = uvicorn.Server(config)

        def run() -> None:
            with asyncio.Runner() as runner:
                runner.run(server.serve(sockets=[bound]))

        thread = threading.Thread(target=run)
        running.append((server, thread))
        thread.start()
        return int(bound.getsockname()[1])

    yield start
    for server, thread in running:
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def _connect(port: int, content: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), _PATIENCE)
    connection.sendall(content)
    return connection


def _status(port: int, address: str = "127.0.0.1") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, _PATIENCE, source_address=(address, 0))
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except ConnectionError:
        return 0
    finally:
        connection.close()


def _ended(connection: socket.socket, drip: bytes = b"") -> bool:
    """Whether the other side ends it."""
    connection.settimeout(0.1)
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        try:
            connection.sendall(drip)
            if connection.recv(100) == b"":
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


@pytest.mark.parametrize(("first", "drip"), [(b"", b""), (b"GET / HTTP/1.1\r\n", b"X: y\r\n")])
def test_a_head_that_does_not_come_ends_the_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, first: bytes, drip: bytes
) -> None:
    monkeypatch.setattr(limits, "HEAD_SECONDS", 0.5)
    with _connect(serve(), first) as connection:
        assert _ended(connection, drip)


def test_a_body_that_hardly_comes_ends_the_connection(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.5)
    with _connect(serve(), _HEAD) as connection:
        assert _ended(connection, b"x")


class _Clock:
    """The time of the connections, which goes on when it is told to."""

    def __init__(self) -> None:
        self.now, self.looked = 1000.0, 0

    def monotonic(self) -> float:
        self.looked += 1
        return self.now

    def go_on(self, seconds: float) -> None:
        """Lets time pass, and the server notice."""
        self.now += seconds
        before = self.looked
        wait_for(lambda: self.looked > before + 1)


def test_a_body_that_comes_in_time_is_taken(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, heard = _Clock(), list[int]()

    def hear(self: Connection, data: bytes) -> None:
        received(self, data)
        heard.append(len(data))

    def came(size: int) -> bool:
        return sum(heard) == size

    received = Connection.data_received
    monkeypatch.setattr(Connection, "data_received", hear)
    monkeypatch.setattr(connections, "time", clock)
    monkeypatch.setattr(connections, "_SWEEP", 0.02)
    monkeypatch.setattr(limits, "BODY_BYTES", 20_000)
    with _connect(serve(), _HEAD) as connection:
        for number in range(1, 41):  # of 25,000 bytes each, every 0.6 of the time in which 20,000 have to come
            connection.sendall(bytes(25_000))
            wait_for(partial(came, len(_HEAD) + number * 25_000))
            clock.go_on(0.6 * limits.BODY_SECONDS)
        assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_an_answer_that_nobody_takes_ends_the_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "ANSWER_SECONDS", 0.5)
    port = serve()
    with _connect(port, _GREEDY) as connection:
        wait_for(lambda: any(getattr(record, "late", 0) for record in caplog.records))
        size = 0
        with pytest.raises(ConnectionError):  # noqa: PT012 - what the kernel holds comes still
            while more := connection.recv(1 << 20):
                size += len(more)
            raise ConnectionError
        assert size < 40_000_000
    assert _status(port) == 200


def test_requests_that_wait_for_no_answer_end_the_connection_with_the_first(serve: Serve) -> None:
    port = serve()
    with _connect(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100) as connection:
        answers = b""
        with suppress(ConnectionError):
            while more := connection.recv(1 << 20):
                answers += more
    assert answers.count(b"HTTP/1.1 200 OK") <= 1
    client = http.client.HTTPConnection("127.0.0.1", port, _PATIENCE)
    for _ in range(3):  # who waits keeps it
        client.request("GET", "/")
        held = client.sock
        client.getresponse().read()
        assert client.sock is held
    client.close()


def test_a_crowd_in_tls_handshakes_makes_room(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]
) -> None:
    monkeypatch.setattr(limits, "VISITORS", 20)
    port = serve(ssl_certfile=certificate[0], ssl_keyfile=certificate[1])
    held = [_connect(port) for _ in range(60)]
    try:
        trusting = ssl._create_unverified_context()
        client = http.client.HTTPSConnection("127.0.0.1", port, timeout=_PATIENCE, context=trusting)
        client.request("GET", "/")
        assert client.getresponse().status == 200
        client.close()
        assert all(_ended(connection) for connection in held[:30])
    finally:
        for connection in held:
            connection.close()


def test_whoever_waits_longest_makes_room(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CONNECTIONS", 16)
    monkeypatch.setattr(limits, "HEAD_SECONDS", 600)
    port = serve(proxied=True)
    held = [_connect(port) for _ in range(40)]
    try:
        assert _status(port) == 200
        assert _ended(held[0])
        held[-1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held[-1].recv(15) == b"HTTP/1.1 200 OK"
    finally:
        for connection in held:
            connection.close()


def test_an_address_that_has_all_its_requests_at_work_is_told_to_wait_and_others_are_not(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PEER_CONNECTIONS", 3)
    monkeypatch.setattr(limits, "BODY_SECONDS", 600)
    port = serve()
    held = [_connect(port, _HEAD[:-2] + b"Expect: 100-continue\r\n\r\n") for _ in range(3)]
    try:
        assert [connection.recv(12) for connection in held] == [b"HTTP/1.1 100"] * 3  # they are at work
        assert _status(port) in _REFUSED
        assert _status(port, "127.0.0.2") == 200
    finally:
        for connection in held:
            connection.close()
    wait_for(lambda: _status(port) == 200)


def test_more_files_may_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.CONNECTIONS + limits.SPARE_FILES
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert raise_files() == min(wanted, hard)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(wanted, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    with Porch() as porch:
        assert Connections(porch).most == 16
