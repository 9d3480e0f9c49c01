"""Files that are either whole or absent: written beside their place, forced to the disk, and moved there."""

from __future__ import annotations

import csv
import errno
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a full disk: no fault of the file that is read."""

_NO_LOCKS = frozenset({errno.ENOLCK, errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})

TEMPORARY = ".part"
"""Ending of files that are being written. A kill leaves one behind, which the next try overwrites."""


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file so that it is there whole, and on the disk, once this returns; or not at all.

    The folder of the file must be there.

    Raises:
        OSError: If the file cannot be written; an earlier file of that name is then untouched.
    """
    with writing(path) as temporary:
        temporary.write_bytes(content)


def write_table(path: Path, head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Writes a CSV table as `write_atomically` does.

    File names on Linux are bytes: those that are no UTF-8 stand in it as they are.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"))


@contextmanager
def writing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A file to write in place of `path`: it takes that name when the block ends without an error, else it goes.

    The folder of the file must be there. Without `durable`, nobody waits until it has reached the disk.

    Raises:
        OSError: If the file cannot be written; an earlier file of that name is then untouched.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    try:
        yield temporary
        if durable:
            sync_file(temporary)  # some file systems would otherwise keep the rename and lose the content
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    if durable:
        sync_folder(path.parent)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """A folder to fill in place of `path`: it takes that name when the block ends without an error, else it goes.

    The folder must not be there; those above it are made.

    Raises:
        FileExistsError: If it is there.
        OSError: If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        raise FileExistsError(errno.EEXIST, "exists already", str(path))
    with TemporaryDirectory(prefix=f".{path.name}", dir=path.parent) as whole:
        temporary = Path(whole, path.name)
        temporary.mkdir()
        yield temporary
        temporary.rename(path)


def lock(path: Path) -> Callable[[], None]:
    """Takes a folder or a file for this process alone, until it ends or lets it go; a file that is missing is made.

    Where the file system knows no such thing, as with folders by NFS, nothing is kept from anybody.

    Returns:
        What lets it go.

    Raises:
        BlockingIOError: If another has it.
        OSError: If it cannot be opened.
    """
    try:
        import fcntl
    except ModuleNotFoundError:  # not on Windows
        return lambda: None
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            os.close(descriptor)
            raise
    return partial(os.close, descriptor)


def sync_file(path: Path) -> None:
    """Forces a file's content to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Forces a folder's list of names to the disk, which a file's own fsync does not; only POSIX knows how."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
