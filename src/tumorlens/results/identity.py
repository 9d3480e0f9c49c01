"""Who and which study a result belongs to: what it repeats of its sources, word for word."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom import Dataset, config
from pydicom.datadict import dictionary_VR
from pydicom.multival import MultiValue
from pydicom.valuerep import validate_value

PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
    *("PatientAge", "PatientSize", "PatientWeight"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    *("ReferringPhysicianName", "StudyDescription"),
)
"""What a result has in common with its study: modules C.7.1.1, C.7.2.1 and C.7.2.2 of PS3.3, without what names the
hospital's staff beyond the referring physician, which is of type 2."""

_TYPE_2 = frozenset(
    (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
        *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    )
)
_SEXES = ("F", "M", "O")


@dataclass(frozen=True, eq=False)
class Identity:
    """Patient and study of a result. Never logged.

    Attributes:
        study: StudyInstanceUID.
        elements: `PATIENT_AND_STUDY` as the source has them, without what could not be written again.
    """

    study: str
    elements: Dataset = field(repr=False)

    def give(self, result: Dataset) -> None:
        """Writes patient and study into a result, in place of what is there."""
        for keyword in PATIENT_AND_STUDY:
            result.pop(keyword, None)
        for element in self.elements:
            result[element.tag] = element
        # UTF-8 writes every name that its own character set could, and no text of ours needs another.
        result.SpecificCharacterSet = "ISO_IR 192"

    def get(self, keyword: str) -> str:
        """An element's value as text; empty where there is none."""
        return str(self.elements.get(keyword) or "")


def identity_of(header: Dataset) -> Identity:
    """Takes patient and study from a header; what is malformed or missing is empty.

    Raises:
        Exception: Whatever the parser raises for a corrupt header; call it inside `formats.checks.parsing`.
    """
    elements = Dataset()
    for keyword in PATIENT_AND_STUDY:
        value = header.get(keyword)
        vr = dictionary_VR(keyword)
        text = "" if value is None else "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value)
        if not _writable(vr, text) or (keyword == "PatientSex" and text.strip() not in _SEXES):
            text = ""
        if text or keyword in _TYPE_2:
            setattr(elements, keyword, text or None)
    return Identity(str(header.get("StudyInstanceUID") or "").strip(), elements)


def _writable(vr: str, text: str) -> bool:
    """Whether a value may be written: PACS refuse objects with malformed dates or overlong names."""
    try:
        validate_value(vr, text, config.RAISE)
    except ValueError:
        return False
    # A backslash would make two values of one.
    return "\\" not in text and "\0" not in text
