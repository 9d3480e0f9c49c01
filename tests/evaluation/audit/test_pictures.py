from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.evaluation.audit.conftest import Set, T, brighter, groups_of, jpeg
from tumorlens.data.manifest import Entry
from tumorlens.evaluation.audit import audit
from tumorlens.evaluation.audit import pictures as _pictures
from tumorlens.formats import read_scans
from tumorlens.scan import Scan


def test_unreadable_files_are_listed_and_the_others_go_on(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    made.add(heads[0])
    made.add(b"\x89PNG\r\n\x1a\n and no more", name="broken.png")
    made.add(heads[0])
    report = audit(made.manifest(), tmp_path / "audit")
    assert [f.path for f in report.unreadable] == ["broken.png"]
    assert groups_of(report) == [{"000.png", "002.png"}]
    assert "broken.png" in (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")


def test_an_interrupted_audit_goes_on(
    made: Set, heads: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for head in heads[:20]:
        made.add(head)
    made.add(jpeg(heads[3]))
    decoded: list[str] = []
    read = read_scans

    def counting(path: Path) -> list[Scan]:
        decoded.append(Path(path).name)
        return read(path)

    monkeypatch.setattr(_pictures, "read_scans", counting)

    def stop(done: int, _total: int) -> None:
        if done == 12:
            raise KeyboardInterrupt

    folder = tmp_path / "audit"
    with pytest.raises(KeyboardInterrupt):
        audit(made.manifest(), folder, progress=stop)
    assert not (folder / "audit.json").exists()
    cache = folder / _pictures.CACHE
    with cache.open("ab") as file:
        file.write(b"half a record that a kill left")
    decoded.clear()
    report = audit(made.manifest(), folder)
    assert sorted(decoded) == [f"{i:03d}.png" for i in range(12, 21)]
    assert groups_of(report) == [{"003.png", "020.png"}]
    assert cache.stat().st_size == 21 * _pictures.RECORD.itemsize

    decoded.clear()
    assert audit(made.manifest(), folder) == report
    assert decoded == []
    # A file that changed is read again.
    brighter(heads[5]).save(made.entries[0].path)
    os.utime(made.entries[0].path, ns=(1, 1))
    assert {"000.png", "005.png"} in groups_of(audit(made.manifest(), folder))
    assert decoded == ["000.png"]


def test_a_file_that_a_kill_cut_in_two_is_read_again(made: Set, heads: list[Image.Image], tmp_path: Path) -> None:
    path = made.folder / "pages.tiff"
    path.parent.mkdir()
    # Copies: Pillow notes an encoder's settings in the picture it saves, and another encoder stumbles over them.
    heads[0].copy().save(path, save_all=True, append_images=[h.copy() for h in heads[1:4]])
    made.entries.append(Entry(path, "pages.tiff", "glioma"))
    made.add(heads[2].transpose(T.FLIP_LEFT_RIGHT), name="mirror.png")
    folder = tmp_path / "audit"
    whole = audit(made.manifest(), folder)
    assert groups_of(whole) == [{"pages.tiff#2", "mirror.png"}]
    os.truncate(folder / _pictures.CACHE, 2 * _pictures.RECORD.itemsize)  # two of four pages
    assert audit(made.manifest(), folder) == whole
    assert audit(made.manifest(), folder) == whole  # and what was appended is found
