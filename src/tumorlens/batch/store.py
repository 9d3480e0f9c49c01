"""A folder that results are written to: here, or anywhere fsspec reaches (s3://, gs://, hdfs://, …)."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from tumorlens import files
from tumorlens.errors import ConfigError, needs_extra

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_READ = ("read", "check that it is there and who may read it")
_WRITE = ("written", "free space or choose another --output")


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a store beyond this machine's folders."""
    return "://" in os.fspath(path)


def open_url(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL, and the path within it.

    Raises:
        ConfigError: If no installed package knows such URLs, or it cannot be reached.
        MissingExtra: If fsspec is not installed.
    """
    with needs_extra("reading and writing at URLs", "batch"):
        import fsspec
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError, OSError) as error:
        raise ConfigError(f"{url}: cannot be opened ({' '.join(str(error).split())[:200]})") from error
    return system, path


class OutputFolder:
    """A folder, by path or URL, of files that are each written whole or not at all.

    Raises:
        ConfigError: From every method, if the folder cannot be read or written; the message names the file.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        self.remote = is_url(self.folder)

    def where(self, name: str) -> str:
        """What a file of the folder is called, for whoever wants to open it."""
        return f"{self.folder.rstrip('/')}/{name}" if self.remote else Path(self.folder, name).as_posix()

    @cached_property
    def _system(self) -> tuple[AbstractFileSystem, PurePosixPath]:
        system, path = open_url(self.folder)
        return system, PurePosixPath(path)

    def prepare(self) -> None:
        """Makes the folder, where folders need making."""
        with self._naming("", "written", "choose another --output"):
            if self.remote:
                self._system[0].makedirs(str(self._system[1]), exist_ok=True)
            else:
                Path(self.folder).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes from writing into a folder of this machine; stores elsewhere know no such thing.

        Raises:
            ConfigError: If one does.
        """
        self.prepare()
        let_go = None
        if not self.remote:
            try:
                let_go = files.lock(Path(self.folder))
            except BlockingIOError as error:
                problem = "another call is writing there; wait until it has ended, or choose another --output"
                raise ConfigError(f"{self.folder}: {problem}") from error
        try:
            yield
        finally:
            if let_go is not None:
                let_go()

    def write(self, name: str, content: bytes) -> None:
        """Writes a file; on this machine's disk it has reached the disk before it stands there."""
        with self.writing(name, durable=True) as path:
            path.write_bytes(content)

    @contextmanager
    def writing(self, name: str, *, durable: bool = False) -> Iterator[Path]:
        """A local file to write; when the block ends without an error, it becomes the folder's.

        With `durable`, it waits until a disk of this machine has it.
        """
        with self._naming(name, *_WRITE):
            if self.remote:
                with tempfile.TemporaryDirectory() as folder:
                    temporary = Path(folder, "file")
                    yield temporary
                    self._system[0].put_file(str(temporary), str(self._system[1] / name))
                return
            path = Path(self.folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.writing(path, durable=durable) as temporary:
                yield temporary

    def read(self, name: str) -> bytes:
        """A file's content."""
        with self._naming(name, *_READ):
            if self.remote:
                content: bytes = self._system[0].cat_file(str(self._system[1] / name))
                return content
            return Path(self.folder, name).read_bytes()

    @contextmanager
    def reading(self, name: str) -> Iterator[IO[bytes]]:
        """A file, opened to read."""
        with self._naming(name, *_READ):
            path = str(self._system[1] / name) if self.remote else self.where(name)
            opened = self._system[0].open(path, "rb") if self.remote else open(path, "rb")  # noqa: SIM115, PTH123
            with opened as file:
                yield file

    def names(self, folder: str) -> list[str]:
        """Names of the files in one of its folders, sorted; none where there is no such folder."""
        with self._naming(folder, *_READ):
            try:
                if self.remote:
                    names: list[Any] = self._system[0].ls(str(self._system[1] / folder), detail=False, refresh=True)
                    return sorted(PurePosixPath(path).name for path in names)
                return sorted(p.name for p in Path(self.folder, folder).iterdir() if p.suffix != files.TEMPORARY)
            except FileNotFoundError:
                return []

    def remove(self, name: str) -> None:
        """Removes a file or folder, if it is there."""
        with self._naming(name, *_WRITE):
            if self.remote:
                system, root = self._system
                if system.exists(str(root / name)):
                    system.rm(str(root / name), recursive=True)
                return
            path = Path(self.folder, name)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def _naming(self, name: str, doing: str, remedy: str) -> Iterator[None]:
        """Turns a disk's or store's error into one that names the file and the remedy."""
        try:
            yield
        except OSError as error:
            reason, where = error.strerror or error, self.where(name) if name else self.folder
            raise ConfigError(f"{where}: cannot be {doing} ({reason}); {remedy}") from error
