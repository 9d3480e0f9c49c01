from pathlib import Path

import numpy as np
import pytest

from tumorlens.classes import BRAIN_TUMORS
from tumorlens.data.manifest import SYNTHETIC, read_manifest
from tumorlens.errors import ConfigError, DataError
from tumorlens.formats import read_registered, read_scans
from tumorlens.phantoms.dataset import write_phantoms
from tumorlens.phantoms.phantom import make_phantoms


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "set"
    write_phantoms(folder, 24, size=64, seed=5)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_folder_is_a_data_set(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest.counts == dict.fromkeys(BRAIN_TUMORS.keys, 6)
    assert manifest.classes == BRAIN_TUMORS
    assert manifest.unit == "patient"
    assert 4 <= len({e.group for e in manifest.entries}) <= 12
    for entry in manifest.entries:
        assert entry.name.startswith(f"{entry.label}/")
        assert (entry.outline is None) == (entry.label == "no_tumor")
        (scan,) = read_scans(entry.path)
        assert scan.pixels.shape == (64, 64)
        assert np.ptp(scan.pixels) > 0.3


def test_everything_says_that_it_is_synthetic(folder: Path) -> None:
    assert "synthetic" in (folder / SYNTHETIC).read_text()
    assert read_manifest(folder).synthetic
    assert all(e.group.startswith("phantom") for e in read_manifest(folder).entries)


def test_what_is_returned_is_what_was_written(tmp_path: Path) -> None:
    manifest, read = write_phantoms(tmp_path / "set", 4, size=64), read_manifest(tmp_path / "set")
    assert [(e.path, e.name, e.label, e.group, str(e.outline)) for e in manifest.entries] == [
        (e.path, e.name, e.label, e.group, str(e.outline)) for e in read.entries
    ]


def test_same_seed_same_files(tmp_path: Path, folder: Path) -> None:
    write_phantoms(tmp_path / "again", 24, size=64, seed=5)
    write_phantoms(tmp_path / "other", 24, size=64, seed=6)
    assert content(tmp_path / "again") == content(folder)
    assert content(tmp_path / "other") != content(folder)


def test_progress_is_told(tmp_path: Path) -> None:
    told = []
    write_phantoms(tmp_path, 4, size=64, progress=lambda *numbers: told.append(numbers))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_phantoms_do_not_mix_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(b"")
    with pytest.raises(DataError, match="holds other files; phantoms must not mix with real scans"):
        write_phantoms(tmp_path, 4)
    with pytest.raises(DataError, match="is a file; choose an empty folder"):
        write_phantoms(tmp_path / "scan.png", 4)
    assert [p.name for p in tmp_path.iterdir()] == ["scan.png"]


def test_phantoms_may_be_made_anew(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 8, size=64, seed=1)
    write_phantoms(tmp_path, 4, size=64, seed=2)
    assert len(read_manifest(tmp_path)) == 4


def test_a_set_that_was_not_finished_has_no_table_of_an_earlier_one(tmp_path: Path) -> None:
    write_phantoms(tmp_path, 4, size=64)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_phantoms(tmp_path, 4, size=64, seed=1, progress=stop)
    assert not (tmp_path / "manifest.csv").exists()


def test_sequences_are_volumes_of_one_space(tmp_path: Path) -> None:
    names = ("t1c", "t2")
    written = write_phantoms(tmp_path / "set", 4, size=64, sequences=names)
    read = read_manifest(tmp_path / "set")
    assert [e.sequences for e in read.entries] == [e.sequences for e in written.entries]
    phantoms = list(make_phantoms(4, size=64, slices_per_series=2, sequences=names))
    for entry, phantom in zip(read.entries, phantoms, strict=True):
        (scan,) = read_registered(entry.sequences)
        assert scan.position is not None
        assert scan.spacing == pytest.approx(phantom.scan.spacing)
        for name in names:
            likeness = np.corrcoef(scan.sequences[name].ravel(), phantom.scan.sequences[name].ravel())[0, 1]
            assert likeness > 0.99
    with pytest.raises(ConfigError, match="phantoms have sequences of t1, t1c, t2, flair, each once, not t1, dwi"):
        write_phantoms(tmp_path / "other", 4, sequences=("t1", "dwi"))
