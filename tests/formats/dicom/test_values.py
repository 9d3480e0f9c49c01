"""Values of elements: what is there, or nothing, and never an error."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import DataElement, Dataset, config

from tumorlens.errors import UnreadableFile
from tumorlens.formats.checks import parsing
from tumorlens.formats.dicom.values import (
    code_of,
    first_of,
    items_of,
    number_of,
    numbers_of,
    text_of,
    texts_of,
    whole_of,
)


def _with(keyword: str, vr: str, value: Any) -> Dataset:
    dataset = Dataset()
    dataset[keyword] = DataElement(keyword, vr, value, validation_mode=config.IGNORE)
    return dataset


@pytest.mark.parametrize(
    ("vr", "value", "number"),
    [("DS", "2.5", 2.5), ("DS", ["7", "9"], 7), ("DS", "", None), ("FD", float("nan"), None), ("FD", 1e400, None)],
)
def test_a_number_is_the_first_finite_one(vr: str, value: Any, number: float | None) -> None:
    assert number_of(_with("WindowCenter", vr, value), "WindowCenter") == number


def test_numbers_are_as_many_as_are_asked_for() -> None:
    spacing = _with("PixelSpacing", "DS", ["1", "2"])
    assert numbers_of(spacing, "PixelSpacing", 2) == (1, 2)
    assert numbers_of(spacing, "PixelSpacing", 3) is None
    assert numbers_of(spacing, "ImagePositionPatient", 3) is None
    assert whole_of(spacing, "PixelSpacing") == 1


def test_a_code_lets_no_free_text_through() -> None:
    assert code_of(_with("Modality", "CS", " mr "), "Modality") == "MR"
    assert code_of(_with("Modality", "CS", "Petra Phantom (sister)"), "Modality") == ""


def test_texts_are_one_several_or_none() -> None:
    assert texts_of(_with("ImageType", "CS", "ORIGINAL"), "ImageType") == ["ORIGINAL"]
    assert texts_of(_with("ImageType", "CS", ["ORIGINAL", "PRIMARY"]), "ImageType") == ["ORIGINAL", "PRIMARY"]
    assert texts_of(Dataset(), "ImageType") == []


def test_items_are_those_of_a_sequence() -> None:
    assert items_of(_with("PixelMeasuresSequence", "LO", "text"), "PixelMeasuresSequence") == []
    assert first_of(Dataset(), "PixelMeasuresSequence") == Dataset()


def test_whatever_the_parser_raises_the_element_says_nothing() -> None:
    class Malformed(Dataset):
        def get(self, *_: Any) -> Any:
            raise NotImplementedError("Petra")

    class Unreadable(Dataset):
        def get(self, *_: Any) -> Any:
            raise OSError("gone")

    assert (text_of(Malformed(), "PatientID"), number_of(Malformed(), "Rows")) == ("", None)
    with pytest.raises(UnreadableFile), parsing("file.dcm"):  # that is no fault of one value
        text_of(Unreadable(), "PatientID")
