"""Weights on a hub, against a stand-in of it on this machine that speaks its HTTP."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tumorlens import hub
from tumorlens.engines.huggingface import export_hub_folder
from tumorlens.errors import MissingExtra, ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The hub's answers for one repository, someone/weights, whose files lie in a folder."""

    def __init__(self, folder: Path, *args: object) -> None:
        self.folder = folder
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None: ...

    def _answer(self) -> bytes | None:
        path = self.path.partition("?")[0]
        files = [(p.name, p.stat().st_size) for p in sorted(self.folder.iterdir())]
        if path == f"/api/models/someone/weights/tree/{COMMIT}":
            tree = [{"type": "file", "path": name, "size": size, "oid": COMMIT} for name, size in files]
            return json.dumps(tree).encode()
        if path.startswith("/api/models/someone/weights"):
            names = [{"rfilename": name} for name, _ in files]
            return json.dumps({"id": "someone/weights", "sha": COMMIT, "siblings": names}).encode()
        head, _, name = path.rpartition("/")
        if head == f"/someone/weights/resolve/{COMMIT}" and (self.folder / name).is_file():
            return (self.folder / name).read_bytes()
        return None

    def _send(self, *, body: bool) -> None:
        content = self._answer()
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "RepoNotFound")
        content = content or b""
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def do_GET(self) -> None:
        self._send(body=True)

    def do_HEAD(self) -> None:
        self._send(body=False)


@pytest.fixture
def endpoint(tiny_weights: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a hub that has the tiny network."""
    folder = export_hub_folder(tiny_weights, tmp_path / "repository")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


_LOAD = """
import sys
from tumorlens import Classifier, TumorLensError
try:
    classifier = Classifier.load(sys.argv[1])
    print(classifier.card.name, classifier.find(sys.argv[2])[0].label)
except TumorLensError as error:
    print(type(error).__name__, error)
"""


def load(name: str, endpoint: str, tmp_path: Path, **more: str) -> str:
    """What a process says that loads weights from the hub; the library reads its settings only once."""
    from tumorlens.phantoms import EXAMPLE

    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1", **more}
    command = [sys.executable, "-c", _LOAD, name, str(EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | settings, check=True)
    return done.stdout.strip()


def test_weights_are_fetched_from_a_hub_once_and_then_kept(endpoint: str, tmp_path: Path) -> None:
    for name in ("hf://someone/weights", "hf://someone/weights@main"):
        assert load(name, endpoint, tmp_path).startswith("tiny ")
    assert load("hf://someone/weights", "http://127.0.0.1:9", tmp_path, HF_HUB_OFFLINE="1").startswith("tiny ")


def test_what_a_hub_does_not_have_is_said_with_the_remedy(endpoint: str, tmp_path: Path) -> None:
    said = load("hf://someone/else", endpoint, tmp_path)
    assert said.startswith("ModelError hf://someone/else: cannot be fetched (")
    assert said.endswith("check name and connection")


def test_a_name_that_is_none_is_said() -> None:
    with pytest.raises(ModelError, match="is no name of weights on a hub; write hf://OWNER/NAME"):
        hub.fetch("hf://a/b/c/d")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"\[hub\]"):
        hub.fetch("hf://someone/weights")
