"""A page to ask, and phantoms as the files that people drop. On SQLite, or on the PostgreSQL that
TUMORLENS_TEST_DATABASE=postgresql has started here: the same tests.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from rehearsal.files import write_dicom, write_nifti
from rehearsal.kills import free_port
from tumorlens.phantoms.phantom import Phantom, make_phantoms, make_study
from tumorlens.web import pool
from tumorlens.web.accounts import Accounts
from tumorlens.web.app import create_app
from tumorlens.web.database import Database
from tumorlens.web.settings import Limits, Settings

READS_PHANTOMS = "cnn_lstm"
"""The weights that know phantoms."""


def _as_postgres() -> list[str]:
    return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    """Lets workers take their time to start: on a machine that does much else, they do."""
    pool._START_SECONDS = 600


@pytest.fixture(scope="session")
def postgres() -> Iterator[int]:
    """Port of a PostgreSQL server of Debian's, started for these tests in a folder of its own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    assert programs, "PostgreSQL is not installed: apt-get install postgresql"
    home = Path(tempfile.mkdtemp(prefix="tumorlens-pg-"))
    port = free_port()
    if os.geteuid() == 0:
        shutil.chown(home, "postgres")
    run = [*_as_postgres(), str(programs[-1] / "initdb")]
    subprocess.run(
        [*run, "-D", home / "data", "-U", "postgres", "-A", "trust"], check=True, capture_output=True, cwd="/"
    )
    options = f"-p {port} -k {home} -c listen_addresses=127.0.0.1 -c fsync=off"
    control = [*_as_postgres(), str(programs[-1] / "pg_ctl"), "-D", str(home / "data")]
    subprocess.run(
        [*control, "-w", "-o", options, "-l", str(home / "log"), "start"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd="/",
    )
    yield port
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd="/")
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def new_database(request: pytest.FixtureRequest) -> Callable[[], str]:
    """URLs of empty databases; "" is SQLite in the page's own folder."""

    def make() -> str:
        if os.environ.get("TUMORLENS_TEST_DATABASE") != "postgresql":
            return ""
        return empty_database(request.getfixturevalue("postgres"))

    return make


def empty_database(port: int) -> str:
    import pg8000.native

    name = f"t{uuid.uuid4().hex[:12]}"
    connection = pg8000.native.Connection("postgres", host="127.0.0.1", port=port)
    connection.run(f"CREATE DATABASE {name}")
    connection.close()
    return f"postgresql://postgres@127.0.0.1:{port}/{name}"


@pytest.fixture
def make_settings(tmp_path: Path, new_database: Callable[[], str]) -> Callable[..., Settings]:
    """Settings of a page in a folder of its own."""

    def make(*, limits: dict[str, Any] | None = None, **options: Any) -> Settings:
        given = {"home": tmp_path / "home", "weights": READS_PHANTOMS, "database": new_database(), "workers": 1}
        small = {"reserve": 0, **(limits or {})}
        return Settings(**{**given, **options}, limits=Limits(**small))

    return make


@pytest.fixture
def open_page(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., Page]]:
    """Opens pages, and closes them at the end."""
    opened: list[Page] = []

    def make(settings: Settings | None = None, **options: Any) -> Page:
        page = Page(settings or make_settings(**options))
        opened.append(page)
        return page

    yield make
    for page in opened:
        page.close()


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """A page on this machine, without accounts."""
    return open_page()


class Page:
    """A running page, and what a user does with it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.http = TestClient(self.app, base_url="http://localhost", raise_server_exceptions=False)
        self.http.__enter__()
        self.is_open = True

    @property
    def parts(self) -> Any:
        return self.app.state.parts

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            self.http.__exit__(None, None, None)

    def get(self, path: str, **options: Any) -> Any:
        return self.http.get(f"/api/v1{path}", **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.http.post(f"/api/v1{path}", **options)

    def new_case(self, files: dict[str, bytes], **options: Any) -> str:
        case = self.post("/cases", json=options).json()["id"]
        for name, content in files.items():
            answer = self.http.put(f"/api/v1/cases/{case}/files", params={"name": name}, content=content)
            assert answer.status_code == 201, answer.text
        return str(case)

    def read(self, files: dict[str, bytes], **options: Any) -> dict[str, Any]:
        """Drops files, and waits for what comes of them."""
        case = self.new_case(files, **options)
        assert self.post(f"/cases/{case}/start").status_code == 202
        return self.wait(case)

    def wait(self, case: str, seconds: float = 600) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while (found := self.get(f"/cases/{case}").json())["status"] not in ("done", "failed"):
            assert time.monotonic() < until, found
            time.sleep(0.03)
        return dict(found)


class Server:
    """A page as `tumorlens serve` runs it, in a process of its own.

    Args:
        settings: Its home, database and weights.
        arguments: More of the command's.
        log: Where it logs to.
    """

    def __init__(self, settings: Settings, *arguments: str, log: IO[bytes] | int = subprocess.DEVNULL) -> None:
        self.port, self._log = free_port(), log
        self.address = f"http://localhost:{self.port}"
        self._command = [sys.executable, "-m", "tumorlens", "serve", "--home", str(settings.home)]
        self._command += ["--port", str(self.port), "--weights", settings.weights, "--no-open"]
        self._command += ["--workers", str(settings.workers), *arguments]
        if settings.database:
            self._command += ["--database", settings.database]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stderr=self._log)
        until = time.monotonic() + 300  # of a machine that does much else
        while time.monotonic() < until:
            assert self.process.poll() is None, "the server ended"
            try:
                if httpx2.get(f"{self.address}/healthz").status_code == 200:
                    return
            except httpx2.TransportError:
                time.sleep(0.05)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


@pytest.fixture(scope="session")
def meningioma() -> Phantom:
    """A phantom that the weights name rightly."""
    (phantom,) = make_phantoms(1, size=192, labels=["meningioma"])
    return phantom


@pytest.fixture(scope="session")
def jpeg(meningioma: Phantom) -> bytes:
    """It, as a JPEG."""
    file = io.BytesIO()
    Image.fromarray(np.round(meningioma.scan.pixels * 255).astype(np.uint8)).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="session")
def series(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A glioma's study of 12 DICOM slices."""
    return write_dicom(make_study(3, label="glioma", size=128, slices=12), tmp_path_factory.mktemp("dicom"))


@pytest.fixture(scope="session")
def archive(series: list[Path]) -> bytes:
    """The study as a zip archive, in folders named after a patient, its slices shuffled."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("DOE_JANE/README.txt", "not a scan")
        packed.writestr("DOE_JANE/DICOMDIR", b"\0" * 128 + b"DICM")
        for path in series[::-1]:
            packed.write(path, f"DOE_JANE/{path.name}")
    return file.getvalue()


@pytest.fixture(scope="session")
def long_archive(series: list[Path]) -> bytes:
    """The study ten times over, so that something can happen while it is read."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for copy in range(10):
            for path in series:
                packed.write(path, f"{copy}/{path.name}")
    return file.getvalue()


@pytest.fixture(scope="session")
def nifti(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A meningioma's study as a NIfTI volume of 20 slices."""
    path = tmp_path_factory.mktemp("nifti") / "volume.nii.gz"
    write_nifti(make_study(5, label="meningioma", size=96, slices=20), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def module_database(request: pytest.FixtureRequest) -> str:
    """URL of an empty database for a file's tests."""
    if os.environ.get("TUMORLENS_TEST_DATABASE") != "postgresql":
        return ""
    return empty_database(request.getfixturevalue("postgres"))


@pytest.fixture(scope="module")
def shared_page(tmp_path_factory: pytest.TempPathFactory, module_database: str) -> Iterator[Page]:
    """A page that the tests of a file share, each with cases of its own."""
    home = tmp_path_factory.mktemp("shared") / "home"
    settings = Settings(home=home, weights=READS_PHANTOMS, workers=1, database=module_database)
    page = Page(settings)
    yield page
    page.close()


PASSWORD = "correct horse battery"


@pytest.fixture
def guarded(open_page: Callable[..., Page], make_settings: Callable[..., Settings]) -> Page:
    """A page that asks for accounts, with jane (reader), joe (reader) and ann (admin)."""
    settings = make_settings(accounts=True, host="127.0.0.1", login_rate="1000/minute")
    settings.prepare()
    database = Database(settings.database_url)
    database.migrate()
    accounts = Accounts(database)
    for name, role in (("jane", "reader"), ("joe", "reader"), ("ann", "admin")):
        accounts.add(name, PASSWORD, role)
    database.close()
    return open_page(settings)


def token(page: Page, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {page.parts.accounts.add_token(name, 'a test')}"}
