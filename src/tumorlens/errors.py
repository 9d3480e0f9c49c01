"""Everything that can go wrong, in one tree.

    TumorLensError
    ├── InputError             a file or folder could not be read as scans; carries `.source`
    │   ├── UnreadableFile     missing, forbidden, empty, truncated or corrupt
    │   ├── UnsupportedFile    sound, but nothing we read, or without pixels
    │   ├── TooLarge           more pixels than we accept
    │   ├── NotAScan           readable, but no scan: constant, not a number, a few pixels small
    │   └── NotOneStudy        files of several studies where those of one are expected
    ├── DataError              a data set, manifest or split that cannot be used
    │   └── DownloadError      a public set could not be fetched
    ├── ModelError             a network or its weights cannot be used
    │   └── ChecksumMismatch   weights differ from what their card says
    ├── ConfigError            a setting is unknown or out of range
    ├── PeerError              another system refused, failed or did not answer
    │   └── RequestRefused     the page refused a request
    ├── AnalysisFailed         a file or study could not be analysed, within its limits
    ├── ChangedMeanwhile       another tab or machine of the same reader was faster
    └── MissingExtra           an optional dependency is not installed

Every message is one line that names the file and the remedy, and none holds patient data.

    try:
        scans = read_scans("scan.png")
    except InputError as error:
        print(error)            # scan.png: the file is truncated; export it again
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path


class TumorLensError(Exception):
    """Base of every error this package raises on purpose."""


class InputError(TumorLensError):
    """A file or folder could not be read as scans.

    Args:
        source: The file or folder, as the caller named it.
        problem: What is wrong with it, without the file's name.
        remedy: What to do about it.
    """

    def __init__(self, source: str | PathLike[str], problem: str, remedy: str) -> None:
        self.source = fspath(source)
        self.problem = " ".join(problem.split())
        self.remedy = " ".join(remedy.split())
        super().__init__(f"{self.source}: {self.reason}")

    @property
    def reason(self) -> str:
        """Problem and remedy, without the file's name."""
        return f"{self.problem}; {self.remedy}"

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        # Errors cross process borders (data workers), and the default would call __init__ with one argument.
        return type(self), (self.source, self.problem, self.remedy)


class UnreadableFile(InputError):
    """Missing, forbidden, empty, truncated or corrupt."""


class UnsupportedFile(InputError):
    """Sound, but nothing we read, or without pixels."""


class TooLarge(InputError):
    """More pixels than we accept."""


class NotAScan(InputError):
    """Readable, but no scan: constant, not a number, or a few pixels small."""


class NotOneStudy(InputError):
    """Files of several studies where those of one are expected."""


class DataError(TumorLensError):
    """A data set, manifest or split that cannot be used."""


class DownloadError(DataError):
    """A public set could not be fetched."""


class ModelError(TumorLensError):
    """A network or its weights cannot be used."""


class ChecksumMismatch(ModelError):
    """Weights differ from what their card says."""


class ConfigError(TumorLensError):
    """A setting is unknown or out of range."""


class PeerError(TumorLensError):
    """Another system (a PACS, a DICOMweb server) refused, failed or did not answer. Trying again may help."""


class RequestRefused(PeerError):
    """The page refused a request.

    Attributes:
        status: HTTP status, or 0 if the page was not reached.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class AnalysisFailed(TumorLensError):
    """A file or study could not be analysed, within its limits; says why, without anything that the file says.

    Args:
        message: Why.
        died: Whether the process that analysed was lost, so that another try may be worth it.
        trace: Where in the code, for the log; empty for a file's own fault.
        lasting: Whether what was sent is at fault, so that trying again would end the same.
    """

    def __init__(self, message: str, *, died: bool = False, trace: str = "", lasting: bool = False) -> None:
        super().__init__(message)
        self.died, self.trace, self.lasting = died, trace, lasting


class ChangedMeanwhile(TumorLensError):
    """What a reader wants to change was changed by another tab or machine of theirs since they read it.

    Args:
        version: Of what is there now.
    """

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__("it was changed in another tab, or on another machine, since you read it; look at that first")

    def __reduce__(self) -> tuple[type[ChangedMeanwhile], tuple[int]]:
        return type(self), (self.version,)


class MissingExtra(TumorLensError):
    """An optional dependency is not installed.

    Args:
        what: What the user asked for, such as "training".
        extra: The extra that brings it, such as "train".
    """

    def __init__(self, what: str, extra: str) -> None:
        self.what, self.extra = what, extra
        self.problem = f"{what} needs packages that are not installed"
        self.remedy = f"run in your clone of TumorLens: pip install '.[{extra}]'"
        super().__init__(f"{self.problem}; {self.remedy}")

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        return type(self), (self.what, self.extra)


def trace_of(error: BaseException) -> str:
    """Kinds of an error and its causes, and where they happened. What they say may quote a file, so it stays out."""
    frames = traceback.extract_tb(error.__traceback__)[::-1][:12]
    trace = f"{type(error).__name__} at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames)
    return trace if error.__cause__ is None else f"{trace}; from {trace_of(error.__cause__)}"


@contextmanager
def needs_extra(what: str, extra: str) -> Iterator[None]:
    """Turns a missing package into an error that says which extra brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tumorlens"):
            raise
        raise MissingExtra(what, extra) from error
