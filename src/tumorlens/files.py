"""Writing a file so that it is either whole or absent."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name beside it, then renames: no reader ever sees half of it.

    Raises:
        OSError: If the file cannot be written; an earlier file of that name is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # some file systems would otherwise keep the rename and lose the content
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
