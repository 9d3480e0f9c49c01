"""`tumorlens deidentify`."""

from pathlib import Path

from pydicom import dcmread
from typer.testing import CliRunner

from tests.studies import GRIDS, classic, save
from tumorlens.cli import app


def make(path: Path) -> Path:
    return save(classic(GRIDS["axial"], GRIDS["axial"].position(0, 1)), path)


def test_the_command_names_files_by_their_new_uid(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / "DOE_JANE.dcm")
    result = CliRunner().invoke(app, ["deidentify", str(tmp_path / "in"), "-o", str(tmp_path / "out")])

    assert result.exit_code == 0, result.output
    (file,) = (tmp_path / "out").iterdir()
    assert file.stem == dcmread(file).SOPInstanceUID


def test_the_same_key_gives_the_same_uids_and_a_bad_file_costs_only_itself(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make(tmp_path / "in" / "a.dcm")
    (tmp_path / "in" / "cut.dcm").write_bytes((tmp_path / "in" / "a.dcm").read_bytes()[:150])
    (tmp_path / "key").write_bytes(b"sixteen bytes at least")
    command = ["deidentify", str(tmp_path / "in"), "--key", str(tmp_path / "key"), "-o"]
    for out in ("one", "other"):
        result = CliRunner().invoke(app, [*command, str(tmp_path / out)])
        assert result.exit_code == 1
        assert "cut.dcm" in result.output
        assert "1 files de-identified" in result.output
    assert [f.name for f in (tmp_path / "one").iterdir()] == [f.name for f in (tmp_path / "other").iterdir()]


def test_an_empty_key_and_a_folder_that_cannot_be_made_are_refused(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    empty = CliRunner().invoke(app, ["deidentify", "x", "--key", str(tmp_path / "key"), "-o", str(tmp_path / "out")])
    assert "is empty" in str(empty.exception)
    inside = CliRunner().invoke(app, ["deidentify", "x", "-o", str(tmp_path / "key" / "out")])
    assert "choose another" in str(inside.exception)
