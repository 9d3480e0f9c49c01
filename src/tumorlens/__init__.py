"""TumorLens: a scan comes in, a finding goes out.

    from tumorlens import Classifier, read_study
    classifier = Classifier.load()
    classifier.find("scan.dcm")                        # findings of slices, from files, arrays or scans
    classifier.find_study(read_study("study/"))        # the finding of a study

Importing this package loads nothing heavy: each public name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tumorlens.version import __version__

if TYPE_CHECKING:
    from tumorlens.card import shipped_weights
    from tumorlens.classes import BRAIN_TUMORS, ClassSet, ScanClass
    from tumorlens.classifier import Classifier
    from tumorlens.errors import (
        ChecksumMismatch,
        ConfigError,
        InputError,
        MissingExtra,
        ModelError,
        NotAScan,
        NotOneStudy,
        TooLarge,
        TumorLensError,
        UnreadableFile,
        UnsupportedFile,
    )
    from tumorlens.evidence import Region
    from tumorlens.finding import Finding
    from tumorlens.formats import iter_scans, read_scans
    from tumorlens.scan import Scan
    from tumorlens.study import Study, StudyFinding, read_study

_HOMES = {
    "card": ("shipped_weights",),
    "classes": ("BRAIN_TUMORS", "ClassSet", "ScanClass"),
    "classifier": ("Classifier",),
    "errors": (
        *("ChecksumMismatch", "ConfigError", "InputError", "MissingExtra", "ModelError", "NotAScan", "NotOneStudy"),
        *("TooLarge", "TumorLensError", "UnreadableFile", "UnsupportedFile"),
    ),
    "evidence": ("Region",),
    "finding": ("Finding",),
    "formats": ("iter_scans", "read_scans"),
    "scan": ("Scan",),
    "study": ("Study", "StudyFinding", "read_study"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BRAIN_TUMORS",
    "ChecksumMismatch",
    "ClassSet",
    "Classifier",
    "ConfigError",
    "Finding",
    "InputError",
    "MissingExtra",
    "ModelError",
    "NotAScan",
    "NotOneStudy",
    "Region",
    "Scan",
    "ScanClass",
    "Study",
    "StudyFinding",
    "TooLarge",
    "TumorLensError",
    "UnreadableFile",
    "UnsupportedFile",
    "__version__",
    "iter_scans",
    "read_scans",
    "read_study",
    "shipped_weights",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"tumorlens.{_HOME[name]}"), name)
    raise AttributeError(f"module 'tumorlens' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
