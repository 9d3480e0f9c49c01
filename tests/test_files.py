"""Files that are either whole or absent."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tumorlens.card import read_card, write_card
from tumorlens.files import lock, write_atomically, writing


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"one")
    write_atomically(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_fails_half_way_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"one")
    with pytest.raises(TypeError), writing(tmp_path / "file") as temporary:
        temporary.write_bytes("half a file, and then no bytes")  # type: ignore[arg-type]
    assert (tmp_path / "file").read_bytes() == b"one"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_what_a_kill_left_behind_goes_with_the_next_try(tmp_path: Path) -> None:
    with writing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"whole")
    temporary.write_bytes(b"left by a kill")
    write_atomically(tmp_path / "file", b"again")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_weights_and_their_card_have_reached_the_disk_before_they_stand_there(
    tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").resolve().name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    write_card(read_card(tiny_weights), tmp_path / "mine.safetensors")
    assert synced == [".mine.json.part", tmp_path.name]


def test_the_kernel_refusing_to_write_leaves_nothing_half(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from tumorlens.files import write_atomically
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_atomically(Path(sys.argv[1]), bytes(5000))
except OSError as error:
    print(error.errno)
"""
    ran = subprocess.run([sys.executable, "-c", script, tmp_path / "file"], capture_output=True, text=True, check=True)
    assert int(ran.stdout) == errno.EFBIG
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.mark.parametrize("name", ["", "file"])
def test_a_folder_or_file_is_locked_until_it_is_let_go_or_the_process_ends(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    let_go = lock(path)
    with pytest.raises(BlockingIOError):
        lock(path)
    let_go()
    code = f"import pathlib, tumorlens.files as f; f.lock(pathlib.Path({str(path)!r})); print(1, flush=True)"
    command = [sys.executable, "-c", f"{code}; import time; time.sleep(60)"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BlockingIOError):
            lock(path)
        other.kill()
    lock(path)()


def test_where_the_file_system_knows_no_locks_all_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "none")

    monkeypatch.setattr(fcntl, "flock", refused)
    lock(tmp_path)()
    lock(tmp_path)()
