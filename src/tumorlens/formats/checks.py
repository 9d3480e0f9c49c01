"""What every reader shares: the limits, the checks, and how a parser library is called."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from tumorlens import limits
from tumorlens.errors import InputError, NotAScan, TooLarge, UnreadableFile
from tumorlens.files import NO_ROOM
from tumorlens.scan import Scan

# Their warnings quote the file, so patient data.
_PARSERS = r"(PIL|pydicom|highdicom|nibabel|tumorlens\.(formats|results|node))(\.|$)"
_LOGGERS = tuple(logging.getLogger(name) for name in ("pydicom", "nibabel.global", "PIL.TiffImagePlugin"))
_CORRUPT = ("the file is truncated, corrupt or of a rare kind", "export it again, or convert it to PNG")


class _Quiet:
    """While entered, in any thread, the parser libraries neither warn nor log.

    `warnings.catch_warnings` alone is not enough: left in another order than entered, as threads do, it
    would silence the process for good. So the first thread to enter sets it and the last to leave resets it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered = 0

    def __enter__(self) -> None:
        with self._lock:
            self._entered += 1
            if self._entered > 1:
                return
            self._caught = warnings.catch_warnings()
            self._caught.__enter__()
            warnings.filterwarnings("ignore", module=_PARSERS)
            for logger in _LOGGERS:
                logger.disabled = True

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._entered -= 1
            if self._entered:
                return
            for logger in _LOGGERS:
                logger.disabled = False
            self._caught.__exit__(None, None, None)


QUIET = _Quiet()
"""Around calls of a library that may quote a file in warnings, outside `parsing`."""


@contextmanager
def parsing(source: str) -> Iterator[None]:
    """Around every call of a library that parses a file: silences it, and turns what it raises into ours.

    Hold no `yield` of a generator in it: the silence would last until the next scan is asked for.

    Raises:
        InputError: As the body raised it.
        OSError: If the disk is full.
        TooLarge: If memory ran out.
        UnreadableFile: For anything else; the library's own error is the cause.
    """
    try:
        with QUIET:
            yield
    except InputError:
        raise
    except MemoryError as error:
        raise TooLarge(source, "the file needs more memory than there is", "split it or resample it") from error
    except PermissionError as error:
        raise UnreadableFile(source, "the file may not be read", "give yourself permission to read it") from error
    except FileNotFoundError as error:
        raise UnreadableFile(source, "there is no such file or folder", "check the path") from error
    except OSError as error:
        if error.errno in NO_ROOM:  # whoever writes while parsing runs out of room
            raise
        raise UnreadableFile(source, *_CORRUPT) from error
    # The parsers raise nearly every type there is when bytes are hostile (struct.error, KeyError, zlib.error,
    # AttributeError, RecursionError, …). Their text may quote the file's patient data, so it stays in the cause.
    except Exception as error:
        raise UnreadableFile(source, *_CORRUPT) from error


def check_size(source: str, height: int, width: int, frames: int = 1, *, most: int | None = None) -> None:
    """Checks what a file's header announces of so many pictures, before anything is decoded.

    Raises:
        UnreadableFile: If a number is not positive.
        TooLarge: If a picture has more than `most`, by default `limits.PIXELS`, or all have more than `limits.VOXELS`.
    """
    most = most or limits.PIXELS
    if min(height, width, frames) < 1:
        raise UnreadableFile(source, f"the header says {width} × {height} pixels", "export the file again")
    if height * width > most:
        problem = f"{width} × {height} pixels are more than the {most:,} we accept"
        raise TooLarge(source, problem, "scale the picture down; the network sees far fewer")
    if height * width * frames > limits.VOXELS:
        problem = f"{width} × {height} × {frames} voxels are more than the {limits.VOXELS:,} we accept"
        raise TooLarge(source, problem, "split the file or resample it")


def check_scans(source: str, scans: Iterable[Scan]) -> Iterator[Scan]:
    """The slices of one file that show something; blank ones (every pixel alike) are left out.

    Raises:
        NotAScan: If a slice is smaller than `limits.SIDE`, or if all are blank.
    """
    shown = False
    for scan in scans:
        if min(scan.height, scan.width) < limits.SIDE:
            problem = f"{scan.width} × {scan.height} pixels are too few for a scan"
            raise NotAScan(source, problem, f"give a picture of at least {limits.SIDE} × {limits.SIDE}")
        if (scan.pixels != scan.pixels[0, 0]).any():
            shown = True
            yield scan
    if not shown:
        raise NotAScan(source, "nothing is shown: every pixel has the same value", "give a picture of a head")
