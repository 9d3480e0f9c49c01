"""What a DICOM header says of its series: sequence, contrast agent, and whether it holds slices to judge one by one."""

from __future__ import annotations

from collections.abc import Mapping

from tumorlens.formats.dicom.header import Header
from tumorlens.sequence import Flaw, SeriesInfo, is_localiser, name_sequence

CLASSIC_MR = "1.2.840.10008.5.1.4.1.1.4"
CLASSIC_CT = "1.2.840.10008.5.1.4.1.1.2"

MR_IMAGES = {
    CLASSIC_MR: "MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.3": "Enhanced MR Color Image Storage",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR Image Storage",
}
CT_IMAGES = {
    CLASSIC_CT: "CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image Storage",
}

IMAGES = {**MR_IMAGES, **CT_IMAGES}
"""SOP classes of slices (PS3.4 B.5). Others, such as results of this or other software, say nothing of a study."""

_OF_MODALITY = {"MR": MR_IMAGES, "CT": CT_IMAGES}

_PROJECTIONS = {"PROJECTION IMAGE", "MIP", "MINIP", "SUBTRACTION", "SUB"}


def images_of(modality: str) -> Mapping[str, str]:
    """SOP classes of the slices of a modality, by its code, and their names; of all where it has none of its own."""
    return _OF_MODALITY.get(modality, IMAGES)


def series_info(header: Header) -> SeriesInfo:
    """What a header says of its series."""
    texts = (header.description, header.protocol, header.sequence)
    return SeriesInfo(
        number=header.series_number,
        description=header.description,
        sequence=name_sequence(*texts, agent=header.contrast or None, times=header.times),
        flaw=_flaw(header, texts),
    )


def clean_description(info: SeriesInfo) -> str:
    """A description that names nobody, of which `series_info` makes the same again."""
    if info.flaw == "localiser":
        return "localiser"
    # The agent is named in the files of a whole study, whatever name stands there afterwards.
    return "T1 without contrast" if info.sequence == "T1" else info.sequence or ""


def _flaw(header: Header, texts: tuple[str, ...]) -> Flaw | None:
    kind = set(header.image_type)
    if header.sop_class not in IMAGES:
        return "no MR or CT image"
    if "LOCALIZER" in kind or is_localiser(*texts):
        return "localiser"
    if "MOSAIC" in kind:
        return "mosaic of slices"
    return "projection of others" if kind & _PROJECTIONS else None
