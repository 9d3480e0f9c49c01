"""Where a slice belongs, in a form that may be written down: its study, its series, its place in the patient."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel

from tumorlens.scan import Orientation, Scan
from tumorlens.sequence import SeriesInfo


class SlicePlace(BaseModel, frozen=True):
    """Where a slice belongs, without anything that identifies a patient.

    Attributes:
        study: Stand-in of the study's identifier; empty where the file has none.
        series: Stand-in of the series' identifier, or of the file that is one by itself.
        instance: Stand-in of the image's own identifier; empty where the file has none.
        number: The image's place in its series, as the scanner counts; then the frame's in its file.
        depth: How far it lies along the line across its plane, in mm.
    """

    study: str = ""
    series: str = ""
    instance: str = ""
    number: tuple[int, int] = (0, 0)
    orientation: Orientation | None = None
    depth: float | None = None
    info: SeriesInfo = SeriesInfo()

    @classmethod
    def of(cls, scan: Scan) -> SlicePlace:
        """The place of a scan."""
        return cls(
            study=stand_in(scan.study),
            series=stand_in(scan.series or scan.source),
            instance=stand_in(scan.instance and f"{scan.instance} {scan.frame}"),
            number=(scan.number or 0, scan.frame),
            orientation=scan.orientation,
            depth=scan.depth,
            info=scan.info,
        )


def stand_in(identifier: str | None) -> str:
    """A short stand-in for an identifier, so that none is ever written."""
    if not identifier:
        return ""
    return hashlib.blake2b(identifier.encode(errors="surrogateescape"), digest_size=8).hexdigest()
