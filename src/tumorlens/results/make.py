"""The DICOM results of a study: pictures, region, heat map, contour, and the report that refers to them all."""

from __future__ import annotations

from pathlib import Path

from pydicom import Dataset

from tumorlens.card import WeightsCard
from tumorlens.errors import needs_extra
from tumorlens.formats.checks import QUIET
from tumorlens.results.objects import Maker
from tumorlens.results.slices import AnalysedStudy

KINDS = {
    "1.2.840.10008.5.1.4.1.1.7": "secondary-capture",
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.30": "parametric-map",
    "1.2.840.10008.5.1.4.1.1.11.1": "presentation-state",
    "1.2.840.10008.5.1.4.1.1.88.34": "report",
}
"""What we make, by SOP class (PS3.4 B.5), and how its files are called."""


def make_results(analysed: AnalysedStudy, card: WeightsCard, *, candidates: bool = False) -> list[Dataset]:
    """Makes the result objects of a study.

    All belong to the study of their sources, in series of their own. They are research results: preliminary,
    unverified, and named so. Without a tumour there is no region, heat map or contour: pictures and the report say
    that none was found, or that the scans are unknown.

    Args:
        analysed: The study.
        card: Of the weights that analysed it.
        candidates: Whether to name classes with SNOMED CT codes that nobody here could look up; see
            `tumorlens.results.codes.CANDIDATES`.

    Returns:
        Secondary Captures, Segmentations, Parametric Maps, presentation states, and last the report, each ready to be
        sent or saved, Explicit VR Little Endian. The same study and weights give the same UIDs.

    Raises:
        MissingExtra: If highdicom is not installed.
    """
    with needs_extra("DICOM results", "hospital"):  # highdicom, in each of them
        from tumorlens.results.capture import make_captures
        from tumorlens.results.maps import make_parametric_maps, make_segmentations
        from tumorlens.results.presentation import make_presentation_states
        from tumorlens.results.report import make_report

    maker = Maker(analysed, card, candidates)
    makers = (make_captures, make_segmentations, make_parametric_maps, make_presentation_states)
    with QUIET:  # pydicom warns of odd values, and quotes them
        others = [result for make in makers for result in make(maker)]
        return [*others, make_report(maker, others)]


def write_results(results: list[Dataset], folder: Path) -> list[Path]:
    """Writes result objects as DICOM files, named by a number and their kind; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, result in enumerate(results, 1):
        path = folder / f"{number:02}-{KINDS[result.SOPClassUID]}.dcm"
        with QUIET:
            result.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
