"""TumorLens: a scan comes in, a finding goes out.

    from tumorlens import Classifier, read_scans
    findings = Classifier.load().find(read_scans("scan.dcm"))

Importing this package loads nothing heavy: each public name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tumorlens.version import __version__

if TYPE_CHECKING:
    from tumorlens.classes import BRAIN_TUMORS, ClassSet, ScanClass
    from tumorlens.classifier import Classifier
    from tumorlens.errors import TumorLensError
    from tumorlens.evidence import Region
    from tumorlens.finding import Finding
    from tumorlens.formats import read_scans
    from tumorlens.scan import Scan

_HOME = {
    "BRAIN_TUMORS": "classes",
    "ClassSet": "classes",
    "Classifier": "classifier",
    "Finding": "finding",
    "Region": "finding",
    "Scan": "scan",
    "ScanClass": "classes",
    "TumorLensError": "errors",
    "read_scans": "formats",
}

__all__ = [
    "BRAIN_TUMORS",
    "ClassSet",
    "Classifier",
    "Finding",
    "Region",
    "Scan",
    "ScanClass",
    "TumorLensError",
    "__version__",
    "read_scans",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"tumorlens.{_HOME[name]}"), name)
    raise AttributeError(f"module 'tumorlens' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
