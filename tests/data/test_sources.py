"""Tests of tumorlens.data.sources. (Another test_sources.py, that of formats, has the name.)"""

import hashlib
import io
import logging
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import kagglehub
import numpy as np
import pooch.downloaders
import pytest
import requests
from kagglehub.exceptions import DataCorruptionError
from PIL import Image
from typer.testing import CliRunner

from tumorlens.cli import app
from tumorlens.data.manifest import read_manifest
from tumorlens.data.sources import SOURCES, get, resume_download
from tumorlens.errors import ConfigError, DownloadError

BODY = np.random.default_rng(0).bytes(1_000_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """An HTTP server that honours Range, counts the bytes it serves, and can cut an answer off."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    state = SimpleNamespace(files={"/file.bin": BODY}, sent=0, cut=None, ranges=True, asked=[])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = state.files.get(self.path)
            asked = self.headers.get("Range")
            state.asked.append(asked)
            if body is None:
                self.send_error(404)
                return
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            sent = body[start : state.cut]
            state.sent += len(sent)  # before whoever asked has it, and looks at the count
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}"
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def cheng(server: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Cheng's record at figshare, with one zip file, served here."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("1.mat", BODY)
    server.files["/part.zip"] = file.getvalue()
    checksums = {"part.zip": f"md5:{hashlib.md5(file.getvalue()).hexdigest()}"}
    repository = SimpleNamespace(
        populate_registry=lambda registry: registry.registry.update(checksums),
        download_url=lambda name: f"{server.url}/{name}",
    )
    monkeypatch.setattr(pooch.downloaders, "doi_to_repository", lambda doi, timeout: repository)
    monkeypatch.setattr(logging.getLogger("pooch"), "disabled", True)
    return checksums


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise requests.ConnectionError("HTTPSConnectionPool(host='doi.org', port=443): Max retries exceeded")

    monkeypatch.setattr(requests.Session, "request", fail)


def test_a_file_is_downloaded(tmp_path: Path, server: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    resume_download(f"{server.url}/file.bin", tmp_path / "got", None)
    assert (tmp_path / "got").read_bytes() == BODY
    assert [p.name for p in tmp_path.iterdir()] == ["got"]
    assert capsys.readouterr().out == ""  # progress belongs on stderr


def test_a_download_that_was_cut_off_goes_on_where_it_stopped(tmp_path: Path, server: SimpleNamespace) -> None:
    server.cut = 600_000
    with pytest.raises((requests.RequestException, ConnectionError)):
        resume_download(f"{server.url}/file.bin", tmp_path / "a", None)
    assert not (tmp_path / "a").exists()
    (part,) = tmp_path.iterdir()
    kept = part.stat().st_size
    assert 300_000 < kept <= 600_000
    server.cut, server.sent = None, 0
    resume_download(f"{server.url}/file.bin", tmp_path / "b", None)  # pooch gives it another name each time
    assert (tmp_path / "b").read_bytes() == BODY
    assert server.sent == len(BODY) - kept
    assert not part.exists()


def test_a_server_that_cannot_resume_sends_all_again(tmp_path: Path, server: SimpleNamespace) -> None:
    server.cut = 600_000
    with pytest.raises((requests.RequestException, ConnectionError)):
        resume_download(f"{server.url}/file.bin", tmp_path / "a", None)
    server.cut, server.ranges = None, False
    resume_download(f"{server.url}/file.bin", tmp_path / "a", None)
    assert (tmp_path / "a").read_bytes() == BODY


def test_a_part_that_is_complete_is_not_fetched_again(tmp_path: Path, server: SimpleNamespace) -> None:
    server.cut = 600_000
    with pytest.raises((requests.RequestException, ConnectionError)):
        resume_download(f"{server.url}/file.bin", tmp_path / "a", None)
    (part,) = tmp_path.iterdir()
    part.write_bytes(BODY)
    server.sent = 0
    resume_download(f"{server.url}/file.bin", tmp_path / "a", None)
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.sent == 0


def test_two_files_do_not_share_a_part(tmp_path: Path, server: SimpleNamespace) -> None:
    server.files["/other.bin"] = BODY[::-1]
    server.cut = 600_000
    for name in ("file", "other"):
        with pytest.raises((requests.RequestException, ConnectionError)):
            resume_download(f"{server.url}/{name}.bin", tmp_path / name, None)
    server.cut = None
    for name in ("file", "other"):
        resume_download(f"{server.url}/{name}.bin", tmp_path / name, None)
        assert (tmp_path / name).read_bytes() == server.files[f"/{name}.bin"]


def test_cheng_is_fetched_unpacked_and_not_fetched_again(
    tmp_path: Path, server: SimpleNamespace, cheng: dict[str, str]
) -> None:
    folder = tmp_path / "data" / "cheng"
    assert get("cheng", folder) == folder
    assert (folder / "1.mat").read_bytes() == BODY
    sent = server.sent
    assert sent == len(server.files["/part.zip"])
    get("cheng", folder)
    assert server.sent == sent


def test_a_cut_off_set_says_to_run_it_again_and_then_goes_on(
    tmp_path: Path, server: SimpleNamespace, cheng: dict[str, str]
) -> None:
    server.cut = 600_000
    with pytest.raises(DownloadError, match=r"cheng: no connection.*run this again, it goes on where it stopped"):
        get("cheng", tmp_path)
    server.cut, server.sent = None, 0
    get("cheng", tmp_path)
    assert (tmp_path / "1.mat").read_bytes() == BODY
    assert server.sent < 700_000


def test_a_file_that_came_out_wrong_is_refused_and_thrown_away(
    tmp_path: Path, server: SimpleNamespace, cheng: dict[str, str]
) -> None:
    cheng["part.zip"] = "md5:" + "0" * 32
    with pytest.raises(DownloadError, match=r"cheng: could not be fetched \(.*hash.*https://doi.org") as caught:
        get("cheng", tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_gone_is_no_network_problem(
    tmp_path: Path, server: SimpleNamespace, cheng: dict[str, str]
) -> None:
    del server.files["/part.zip"]
    with pytest.raises(DownloadError, match=r"cheng: could not be fetched \(404.*or fetch it from https://doi.org"):
        get("cheng", tmp_path)


FETCHED = [name for name, source in SOURCES.items() if source.fetch]


@pytest.mark.parametrize("name", FETCHED)
def test_without_network_there_is_one_clear_line(tmp_path: Path, offline: None, name: str) -> None:
    with pytest.raises(DownloadError, match=f"{name}: no connection to its server") as caught:
        get(name, tmp_path / name)
    message = str(caught.value)
    assert "\n" not in message
    assert SOURCES[name].page in message
    assert "Max retries" not in message


def test_masoud_goes_through_kagglehub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(kagglehub, "dataset_download", lambda handle, output_dir: asked.append((handle, output_dir)))
    get("masoud", tmp_path)
    assert asked == [("masoudnickparvar/brain-tumor-mri-dataset", str(tmp_path))]


@pytest.mark.parametrize("name", sorted(set(SOURCES) - set(FETCHED)))
def test_what_only_a_person_may_fetch_says_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(DownloadError, match=f"{name}: its publisher asks for a person: sign in at .*; see https://"):
        get(name, tmp_path / name)
    assert not (tmp_path / name).exists()


def test_head_ct_gets_a_table_that_training_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(handle: str, output_dir: str) -> None:
        assert handle == "felipekitamura/head-ct-hemorrhage"
        folder = Path(output_dir)
        (folder / "head_ct" / "head_ct").mkdir(parents=True)
        for number in (0, 117):
            Image.new("L", (8, 8)).save(folder / "head_ct" / "head_ct" / f"{number:03}.png")
        (folder / "labels.csv").write_text("id, hemorrhage\n0, 1\n117, 0\n")

    monkeypatch.setattr(kagglehub, "dataset_download", download)
    entries = read_manifest(get("head_ct", tmp_path / "ct")).entries
    assert [(e.path.name, e.label) for e in entries] == [("000.png", "haemorrhage"), ("117.png", "normal")]


def test_of_a_record_only_what_is_wanted_is_fetched(
    tmp_path: Path, server: SimpleNamespace, cheng: dict[str, str]
) -> None:
    cheng["CRC-VAL-HE-7K.zip"] = "md5:00"  # of the record's files, one that is wanted and that nobody serves
    with pytest.raises(DownloadError, match=r"nct_crc: could not be fetched \(.*404"):
        get("nct_crc", tmp_path)
    assert not (tmp_path / "1.mat").exists()


def test_what_kaggle_says_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: object, output_dir: object) -> None:
        raise DataCorruptionError("the archive\nis damaged")

    monkeypatch.setattr(kagglehub, "dataset_download", fail)
    with pytest.raises(DownloadError, match=r"masoud: could not be fetched \(the archive is damaged\)"):
        get("masoud", tmp_path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DownloadError, match="could not be fetched"):
        get("masoud", tmp_path / "file" / "masoud")


def test_an_unknown_set_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no data set is called 'brats'; there are cheng, masoud, head_ct, "):
        get("brats", tmp_path)


def test_the_list_says_what_each_set_is() -> None:
    shown = CliRunner().invoke(app, ["data", "list"])
    assert shown.exit_code == 0
    words = set(shown.stdout.split())  # cells are wrapped between them
    for source in SOURCES.values():
        assert {source.name, source.modality, *source.licence.split(), *source.size.split()} <= {
            *words,
            *(word.rstrip(",") for word in words),
        }
