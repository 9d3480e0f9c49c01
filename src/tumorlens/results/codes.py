"""The terminology codes of the results: one table, each with where it was read.

A code that could not be looked up is `verified=False`, and is not used unless a site asks for it: a result then says
the same thing with a code of our own scheme, `SCHEME`, which states nothing that SNOMED CT might not mean.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydicom.sr.coding import Code as DicomCode

from tumorlens.classes import BRAIN_TUMORS, ClassSet, Code, ScanClass

SCHEME = "99TUMORLENS"
"""Our own coding scheme's designator; "99" marks a private one (PS3.16, 8.2)."""

SCHEME_NAME = "TumorLens result codes"

_PYDICOM = "PS3.16, as pydicom 3.0 carries it"
_OURS = "TumorLens"


@dataclass(frozen=True)
class Term:
    """A code, and how sure it is that it means what we say.

    Attributes:
        code: Scheme, value and meaning.
        source: Where it was read.
        reason: Why it was not looked up in a copy of the terminology, and is a candidate; empty where it was.
    """

    code: Code
    source: str
    reason: str = ""

    @property
    def verified(self) -> bool:
        """Whether it was looked up in a copy of the terminology."""
        return not self.reason


def _standard(scheme: str, value: str, meaning: str, where: str = _PYDICOM) -> Term:
    return Term(Code(scheme=scheme, value=value, meaning=meaning), where)


def _ours(value: str, meaning: str) -> Term:
    return _standard(SCHEME, value, meaning, _OURS)


def _candidate(value: str, meaning: str, doubt: str) -> Term:
    reason = f"not in PS3.16, to be looked up in a SNOMED CT browser before use; {doubt}"
    return Term(Code(scheme="SCT", value=value, meaning=meaning), "public source code", reason)


TERMS = {
    "brain": _standard("SCT", "12738006", "Brain"),
    "neoplasm": _standard("SCT", "108369006", "Neoplasm"),
    "present": _standard("SCT", "52101004", "Present", "PS3.16 CID 240, as pydicom 3.0 carries it"),
    "absent": _standard("SCT", "272519000", "Absent", "PS3.16 CID 240, as pydicom 3.0 carries it"),
    "undetermined": _standard("SCT", "373068000", "Undetermined", "PS3.16 CID 240, as pydicom 3.0 carries it"),
    "spatial": _standard("SCT", "309825002", "Spatial and Relational Concept"),
    "mean": _standard("SCT", "373098007", "Mean"),
    "brain_mri": _standard("LN", "24590-2", "Brain MRI"),
    "head": _standard("SCT", "69536005", "Head"),
    "head_ct": _standard("LN", "24725-4", "Head CT"),
    "haemorrhage": _standard("SCT", "50960005", "Hemorrhage"),
    "finding": _ours("FINDING", "What the classes are told apart for"),
    "examination": _ours("EXAMINATION", "Imaging examination"),
    "saliency": _standard("DCM", "130404", "Saliency"),
    "visual_explanation": _standard("DCM", "130401", "Visual explanation"),
    "artificial_intelligence": _standard("DCM", "123110", "Artificial Intelligence"),
    "processing_equipment": _standard("DCM", "109102", "Processing Equipment"),
    "comment": _standard("DCM", "121106", "Comment"),
    "unitless": _standard("UCUM", "1", "no units"),
    "mm2": _standard("UCUM", "mm2", "square millimeter"),
    "class": _ours("CLASS", "Most probable class"),
    "prediction_set": _ours("PREDICTION_SET", "Class in the prediction set"),
    "evidence": _ours("EVIDENCE", "Region of strongest evidence, no outline"),
    "evidence_area": _ours("EVIDENCE_AREA", "Area of strongest evidence, no outline"),
    "unknown_scan": _ours("UNKNOWN_SCAN", "Unlike the scans of the training"),
    "contour": _ours("CONTOUR", "Contour of the evidence"),
    "assessment": _ours("ASSESSMENT", "Reader's assessment of the AI finding"),
    "agrees": _ours("AGREES", "Agrees"),
    "names_another": _ours("NAMES_ANOTHER", "Names another class"),
    "unsure": _ours("UNSURE", "Is unsure"),
    "readers_class": _ours("READERS_CLASS", "Class by the reader"),
}
"""What results say, by what we call it."""

CANDIDATES = {
    "glioma": _candidate("393564001", "Glioma", "some call it glioma of brain, some glioblastoma"),
    "meningioma": _candidate("302820008", "Intracranial meningioma", "393566004 Meningioma is seen too"),
    "pituitary": _candidate("254956000", "Pituitary adenoma", "a pituitary tumour need not be one"),
}
"""SNOMED CT codes that may be those of the built-in classes, by key. None of them is used by default."""


_STANDARD = {"haemorrhage": "haemorrhage", "hemorrhage": "haemorrhage"}
"""Entries of `TERMS` that say what a class means, by the class's key."""


@dataclass(frozen=True)
class Sought:
    """Coded finding and body part that some weights look for.

    Attributes:
        word: What people call it, such as "tumour".
        finding: Its code: present, absent or undetermined in a study.
        site: Where in the body.
        body_part: The same as BodyPartExamined has it.
        examination: What the scans are.
    """

    word: str
    finding: Code
    site: Code
    body_part: str
    examination: Code


def sought(classes: ClassSet, modality: str) -> Sought:
    """What weights look for, by their classes, and where, by the code of their modality."""
    something = [c for c in classes if not c.nothing]
    if any(c.key in BRAIN_TUMORS.keys for c in something):
        what = "tumour", TERMS["neoplasm"].code
    elif len(something) == 1:
        what = something[0].name, code_of(something[0])
    else:
        what = "finding", TERMS["finding"].code
    where, part, examination = _WHERE.get(modality, ("head", "HEAD", "examination"))
    return Sought(*what, TERMS[where].code, part, TERMS[examination].code)


_WHERE = {"MR": ("brain", "BRAIN", "brain_mri"), "CT": ("head", "HEAD", "head_ct")}


def code_of(scan_class: ScanClass, *, candidates: bool = False) -> Code:
    """The code that a result names a class with; one that its weights card gives goes before all others.

    With `candidates`, `CANDIDATES` are used, because the site has looked them up.
    """
    if scan_class.codes:
        return scan_class.codes[0]
    if scan_class.key in _STANDARD:
        return TERMS[_STANDARD[scan_class.key]].code
    if candidates and scan_class.key in CANDIDATES:
        return CANDIDATES[scan_class.key].code
    return Code(scheme=SCHEME, value=_value(scan_class.key), meaning=scan_class.name[:64])


def probability_of(scan_class: ScanClass) -> Code:
    """The code that names the measurement of a class's probability."""
    return Code(scheme=SCHEME, value=_value(f"P_{scan_class.key}"), meaning=f"Probability of {scan_class.name}"[:64])


def to_dicom(code: Code) -> DicomCode:
    """The same code for pydicom and highdicom."""
    return DicomCode(code.value, code.scheme, code.meaning)


def term(name: str) -> DicomCode:
    """A code of `TERMS` for pydicom and highdicom."""
    return to_dicom(TERMS[name].code)


def _value(key: str) -> str:
    """A code value (SH) of at most 16 characters; long keys end in a checksum."""
    value = key.upper()
    return value if len(value) <= 16 else f"{value[:9]}_{hashlib.sha256(key.encode()).hexdigest()[:6].upper()}"
