import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tumorlens import limits
from tumorlens.errors import TooLarge, UnreadableFile, UnsupportedFile
from tumorlens.formats import Failure, find_sources, iter_scans, read_scans
from tumorlens.formats.sources import Source, reader_of
from tumorlens.scan import Scan


@pytest.fixture
def make_png(tmp_path: Path, picture: NDArray[np.uint8]) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path, "PNG")
        return path

    return make


def names(found: Iterable[Source | Scan | Failure], folder: Path) -> list[str]:
    return [os.path.relpath(item.path if isinstance(item, Source) else item.source, folder) for item in found]


def test_natural_order_and_depth(make_png: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("img10.png", "img2.png", "img1.png", "b/x.png", "a10/x.png", "a9/x.png", "IMG3.PNG"):
        make_png(name)
    expected = ["a9/x.png", "a10/x.png", "b/x.png", "img1.png", "img2.png", "IMG3.PNG", "img10.png"]
    assert names(find_sources(tmp_path), tmp_path) == expected
    assert names(iter_scans(tmp_path), tmp_path) == expected


def test_hidden_files_and_others_that_promise_no_scan_are_passed_over(
    make_png: Callable[[str], Path], tmp_path: Path
) -> None:
    for name in (".hidden.png", ".git/a.png", "Thumbs.db", "desktop.ini", "DICOMDIR", "a.png", "without suffix"):
        make_png(name)
    for name, text in {
        ".DS_Store": "x",
        "readme.txt": "hello",
        "labels.csv": "a,b",
        "empty": "",
        "LICENSE": "x",
    }.items():
        (tmp_path / name).write_text(text)
    assert names(find_sources(tmp_path), tmp_path) == ["a.png", "without suffix"]


@pytest.mark.parametrize("name", ["a.png", "a.dcm", "a.NII.gz", "a.gif", "a.nrrd", "a.mat"])
@pytest.mark.parametrize("text", ["hello, this is text", ""])
def test_a_name_that_promises_a_scan_but_holds_none_is_a_failure(
    make_png: Callable[[str], Path], tmp_path: Path, name: str, text: str
) -> None:
    make_png("good.png")
    (tmp_path / name).write_text(text)
    failure, scan = iter_scans(tmp_path)
    assert isinstance(failure, Failure)
    assert failure == Failure(str(tmp_path / name), failure.error)
    assert ("content is no picture" if text else "empty") in failure.error
    assert scan.source == str(tmp_path / "good.png")


def test_named_itself_any_file_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(UnsupportedFile, match="PNG, JPEG, TIFF, BMP, DICOM, NIfTI"):
        read_scans(tmp_path / "readme.txt")


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(UnreadableFile, match="empty"):
        read_scans(tmp_path / "a.png")


@pytest.mark.parametrize("path", ["nowhere.png", "nowhere/", "a\0b", "x" * 5000])
def test_missing(path: str) -> None:
    with pytest.raises(UnreadableFile, match="no such file"):
        read_scans(path)
    (failure,) = iter_scans(path)
    assert failure.source == path


def test_folder_without_scans(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "readme.txt").write_text("hello")
    with pytest.raises(UnsupportedFile, match="no scans found"):
        read_scans(tmp_path)
    assert [f.source for f in iter_scans(tmp_path)] == [str(tmp_path)]


def test_sources_are_named_as_the_caller_did(
    make_png: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_png("study/a.png")
    monkeypatch.chdir(tmp_path)
    assert [s.source for s in read_scans("study")] == [f"study{os.sep}a.png"]
    assert [s.source for s in read_scans("./study/a.png")] == ["./study/a.png"]


def test_symbolic_links_that_lead_back(make_png: Callable[[str], Path], tmp_path: Path) -> None:
    make_png("a/one.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "a" / "self").symlink_to("self")
    (tmp_path / "b").symlink_to(tmp_path / "a", target_is_directory=True)
    assert len(read_scans(tmp_path)) == 1


def test_a_link_to_nothing_is_a_failure_if_it_promises_a_scan(make_png: Callable[[str], Path], tmp_path: Path) -> None:
    make_png("a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "c").symlink_to(tmp_path / "nowhere")
    assert names(find_sources(tmp_path), tmp_path) == ["a.png", "b.png"]
    assert isinstance(list(iter_scans(tmp_path))[1], Failure)


def test_a_pipe_is_not_waited_for(tmp_path: Path, make_png: Callable[[str], Path]) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsupportedFile, match="no file"):
        read_scans(tmp_path / "pipe")
    make_png("a.png")
    assert len(read_scans(tmp_path)) == 1


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_permission(
    make_png: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # By hand, because tests may run as root, who may read everything.
    locked = make_png("locked/a.png")
    function = "builtins.open" if kind == "file" else "os.listdir"
    original: Callable[..., Any] = open if kind == "file" else os.listdir
    denied = str(locked if kind == "file" else locked.parent)

    def deny(path: str, *args: Any, **options: Any) -> Any:
        if path == denied:
            raise PermissionError(13, "Permission denied")
        return original(path, *args, **options)

    monkeypatch.setattr(function, deny)
    (failure,) = iter_scans(tmp_path)
    assert isinstance(failure, Failure)
    assert failure.source == denied
    assert "permission" in failure.error
    if kind == "file":
        with pytest.raises(UnreadableFile, match="permission"):
            read_scans(locked)


def test_several_paths_and_an_iterator_of_them(make_png: Callable[[str], Path], tmp_path: Path) -> None:
    paths = [make_png("b.png"), make_png("a.png")]
    assert [s.source for s in read_scans(paths)] == [str(p) for p in paths]
    assert [s.source for s in read_scans(iter([str(p) for p in paths]))] == [str(p) for p in paths]
    assert read_scans([]) == []
    assert list(iter_scans([])) == []


def test_formats_may_be_mixed_in_a_folder(
    make_png: Callable[[str], Path],
    make_dicom: Callable[..., Path],
    make_nifti: Callable[..., Path],
    make_mat: Callable[..., Path],
    picture: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    make_png("d.png")
    make_dicom(picture, "a")
    make_nifti(np.random.default_rng(0).normal(size=(20, 20, 2)), name="b.nii.gz")
    make_mat(picture.astype(np.int16), "c.mat")
    assert names(iter_scans(tmp_path), tmp_path) == ["a", "b.nii.gz", "b.nii.gz", "c.mat", "d.png"]


def test_a_file_that_is_too_long_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILE", 10)
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(10))
    with pytest.raises(TooLarge, match="18 bytes are more than the 10 we accept"):
        reader_of(str(tmp_path / "a.png"))
