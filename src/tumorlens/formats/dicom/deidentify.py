"""Takes from DICOM files what could name somebody, by the Basic Application Level Confidentiality Profile of PS3.15.

The profile's table and what it does to each element are dicom-anonymizer's; ours is the walk: into every sequence, with
identifiers that come out the same in every file, and nothing left that cannot be read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tumorlens.errors import UnreadableFile, needs_extra
from tumorlens.formats.checks import parsing
from tumorlens.formats.dicom.header import Header, load
from tumorlens.formats.dicom.info import clean_description, series_info

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

_EDITION = "dicomfields_2026c"
_Action = Callable[[Any, tuple[int, int]], None]


def deidentify(dataset: Dataset, key: bytes) -> tuple[str, ...]:
    """De-identifies a data set (PS3.15, E.2 and table E.1-1), sequences and file meta information included.

    Private elements, dates, names, free text and devices' identifiers go; UIDs become others, the same ones for the
    same key, so that the files of a study still belong together. The series' description becomes the
    sequence that it tells of. Pixels stay as they are.

    Args:
        dataset: Changed in place.
        key: Secret bytes; who has them can tell which UID became which.

    Returns:
        What somebody must look at, a sentence each: text that may be burned into the pixels.

    Raises:
        MissingExtra: If dicom-anonymizer is not installed.
    """
    from pydicom.dataset import Dataset as NewDataset

    header = Header.of(dataset)
    doubts, description = _burned_in(header), clean_description(series_info(header))
    meta = dataset.__dict__.get("file_meta")
    _walk(dataset, key)
    if description:
        dataset.SeriesDescription = description
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "TumorLens: Basic Application Confidentiality Profile"
    code = NewDataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    dataset.DeidentificationMethodCodeSequence = [code]
    dataset.LongitudinalTemporalInformationModified = "REMOVED"
    if meta is not None:
        for keyword in ("SourceApplicationEntityTitle", "SendingApplicationEntityTitle", "PrivateInformation"):
            meta.pop(keyword, None)
        for element in list(meta):
            if element.tag.element > 0x0100 or element.keyword.endswith("PresentationAddress"):
                del meta[element.tag]
        if "SOPInstanceUID" in dataset:
            meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    if getattr(dataset, "preamble", None):
        dataset.preamble = bytes(128)  # any program may have left anything there
    return doubts


def deidentify_file(source: str | PathLike[str], target: Path, key: bytes) -> tuple[str, ...]:
    """De-identifies a DICOM file into another; see `deidentify`.

    Raises:
        InputError: If the source cannot be read.
    """
    path = str(source)
    dataset = load(path)
    if not dataset:
        raise UnreadableFile(path, "the file is truncated", "export it again")
    with parsing(path):
        doubts = deidentify(dataset, key)
        dataset.save_as(target, enforce_file_format="TransferSyntaxUID" in dataset.file_meta)
    return doubts


def new_uid(uid: str, key: bytes) -> str:
    """The UID that stands for another, the same one for the same key."""
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=[key.hex(), uid]))


def _walk(dataset: Dataset, key: bytes) -> None:
    fixed, masked = _actions()
    for tag in list(dataset.keys()):
        if tag.is_private:
            del dataset[tag]
            continue
        try:
            element = dataset[tag]
        except Exception:  # noqa: BLE001 - pydicom raises nearly anything; what cannot be read cannot be cleaned
            del dataset[tag]
            continue
        at = (tag.group, tag.element)
        action = fixed.get(at) or next((a for (g, e, gm, em), a in masked if at[0] & gm == g and at[1] & em == e), None)
        if action is not None:
            _apply(action, dataset, element, at, key)
        if tag in dataset and dataset[tag].VR == "SQ":
            for item in dataset[tag].value:
                _walk(item, key)


def _apply(action: _Action, dataset: Dataset, element: DataElement, at: tuple[int, int], key: bytes) -> None:
    """Does to an element what the profile says; if the library cannot, the element goes."""
    from pydicom.multival import MultiValue

    if element.VR == "UI" and action.__name__ in _NEW_UIDS and element.value:
        several = isinstance(element.value, MultiValue)
        element.value = [new_uid(u, key) for u in element.value] if several else new_uid(element.value, key)
        return
    if element.VR == "SQ" and action.__name__ in _NEW_UIDS:
        return  # references to other instances, whose UIDs are changed where they stand
    try:
        action(dataset, at)
    except Exception:  # noqa: BLE001 - NotImplementedError for rare kinds of value, anything for absurd ones
        del dataset[element.tag]


_NEW_UIDS = {"replace_UID", "delete_or_empty_or_replace_UID"}


@cache
def _actions() -> tuple[dict[tuple[int, int], _Action], list[tuple[tuple[int, int, int, int], _Action]]]:
    """Table E.1-1: what to do to an element by its tag, and by its tag with a mask where a group repeats."""
    with needs_extra("de-identification", "web"):
        from dicomanonymizer.simpledicomanonymizer import initialize_actions
    table = initialize_actions(_EDITION)
    fixed = {tag: action for tag, action in table.items() if len(tag) == 2}
    masked = [((t[0] & t[2], t[1] & t[3], t[2], t[3]), action) for t, action in table.items() if len(t) > 2]
    return fixed, masked


def _burned_in(header: Header) -> tuple[str, ...]:
    """Whether text may stand in the pixels, by what the file says of itself."""
    # Secondary Capture, and screens saved as pictures; PS3.3 C.8.6.1 and C.7.6.1.
    captured = header.sop_class.startswith("1.2.840.10008.5.1.4.1.1.7") or "SCREEN SAVE" in header.image_type
    if header.burned_in == "YES":
        return ("text is burned into the pixels, and stays there: look at them before they leave",)
    if captured and header.burned_in != "NO":
        return ("a captured picture may have text burned into its pixels: look at them before they leave",)
    return ()
