"""Whatever the bytes: a study is analysed and its results made, or an error of our tree says why not."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import DataElement, Dataset, config

from tests.studies import GRIDS, BrightEngine, classic, enhanced
from tumorlens.classifier import Classifier
from tumorlens.errors import TumorLensError
from tumorlens.formats.dicom.header import Header
from tumorlens.results.analysis import analyse
from tumorlens.results.make import make_results

CLASSIFIER = Classifier(BrightEngine())
GRID = GRIDS["axial"]
BOUNDED = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def as_bytes(ds: Dataset) -> bytes:
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    buffer = io.BytesIO()
    ds.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def small(number: int = 1) -> Dataset:
    """A slice of 30 x 30 pixels, so that many can be tried."""
    ds = classic(GRID, GRID.position(3, 7), number=number)
    ds.PixelData = ds.pixel_array[::4, ::4].tobytes()
    ds.Rows = ds.Columns = 30
    return ds


def small_enhanced() -> Dataset:
    ds = enhanced(GRID, [GRID.position(i, 7) for i in (2, 3)])
    ds.PixelData = np.ascontiguousarray(ds.pixel_array[:, ::4, ::4]).tobytes()
    ds.Rows = ds.Columns = 30
    return ds


GOOD = as_bytes(small(9))
CLASSIC, ENHANCED = as_bytes(small()), as_bytes(small_enhanced())


def judge(*files: bytes) -> None:
    """Analyses a study of these files, and makes and writes its results; errors of our tree are allowed."""
    with tempfile.TemporaryDirectory() as folder:
        for i, content in enumerate(files):
            (Path(folder) / f"{i}.dcm").write_bytes(content)
        try:
            analysed = analyse(folder, CLASSIFIER)
        except TumorLensError as error:
            told = str(error)
        else:
            told = " ".join([*map(str, analysed.failures), *analysed.warnings])
            # If the hostile file gave nothing, results are those of the good one.
            if {Path(s.path).name for s in analysed.slices} != {"1.dcm"}:
                for result in make_results(analysed, CLASSIFIER.card):
                    result.save_as(io.BytesIO(), enforce_file_format=True)
    assert not any(secret in told for secret in ("Phäntom", "Petra", "PH-1", "A-77"))


@BOUNDED
@given(st.data())
def test_mutated_bytes(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([CLASSIC, ENHANCED])))
    # The header is short and the pixels are long: mutations go where the parser is.
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(128, 1500))] = data.draw(st.integers(0, 255))
    judge(bytes(content))


@BOUNDED
@given(st.sampled_from([CLASSIC, ENHANCED]), st.integers(0, 3000))
def test_truncated_bytes(content: bytes, length: int) -> None:
    judge(content[:length])


ABSURD: dict[str, list[object]] = {
    "PixelSpacing": [None, [], [0, 0], [-1, 1], [1e-30, 1e-30], [1e30, 1e30], [1], [1, 1, 1]],
    "ImagePositionPatient": [None, [], [1e16, 0, 0], [1, 2], [-99999, 99999, 99999]],
    "ImageOrientationPatient": [
        None,
        [],
        [0] * 6,
        [1, 0, 0, 1, 0, 0],
        [1e9, 0, 0, 0, 1e9, 0],
        [0.70711, 0.70711, 0] * 2,
        [0.71, 0.71, 0, -0.71, 0.71, 0],
        [0.71, 0, 0.71, 0.41, 0.82, -0.41],
    ],
    "SliceThickness": [None, "", 0, -3, 1e20],
    "FrameOfReferenceUID": [None, "", "not a uid"],
    "SOPInstanceUID": [None, "", "x", "1." * 40],
    "SeriesInstanceUID": [None, "", ".."],
    "StudyInstanceUID": [None, "", "0"],
    "SOPClassUID": [None, "", "1.2.3"],
    "InstanceNumber": [None, "", 10**9, -1],
    "NumberOfFrames": [None, 0, 1, 2, -5, 10**8],
    "Rows": [None, 0, 29, 65535],
    "SamplesPerPixel": [None, 0, 3, 4],
    "PhotometricInterpretation": [None, "", "RGB", "MONOCHROME1", "PALETTE COLOR"],
    "WindowCenter": [None, "", [1, 2], 1e15],
    "WindowWidth": [None, "", 0, -1, 0.5, 1e15],
    "RescaleSlope": [0, -1, 1e15, 2.5],
    "RescaleIntercept": [0, -1e15, "", 7],
    "SpecificCharacterSet": [None, "ISO_IR 192", "ISO 2022 IR 87", "nonsense", ["", "ISO 2022 IR 149"]],
    "PatientName": [None, "", "^" * 70, "a\\b", "\udcff", "山田^太郎=" * 3],
    "PatientID": [None, "", "x" * 200, "a\\b", "é\0\n"],
    "PatientBirthDate": ["99999999", "x"],
    "PatientSex": ["f", "X", "FM"],
    "PatientAge": ["000Y", "old"],
    "StudyDate": ["20260230", "today"],
    "StudyTime": ["256161", "later"],
    "AccessionNumber": ["x" * 17, "\\"],
    "Modality": [None, "CT", "x" * 40],
}


def change(ds: Dataset, keyword: str, value: object) -> None:
    if value is None:
        ds.pop(keyword, None)
        return
    vr = pydicom.datadict.dictionary_VR(keyword)
    try:
        ds[keyword] = DataElement(keyword, vr, value, validation_mode=config.IGNORE)
    except (ValueError, OverflowError, TypeError):
        ds.pop(keyword, None)


@BOUNDED
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # of writing what should not be
@pytest.mark.filterwarnings("ignore::UserWarning:tests.studies")
@given(st.lists(st.sampled_from([(k, v) for k, values in ABSURD.items() for v in values]), min_size=1, max_size=4))
def test_missing_and_absurd_elements(changes: list[tuple[str, object]]) -> None:
    ds = pydicom.dcmread(io.BytesIO(CLASSIC))
    for keyword, value in changes:
        change(ds, keyword, value)
    buffer = io.BytesIO()
    try:
        ds.save_as(buffer, enforce_file_format=False)
    except (ValueError, OverflowError, TypeError, AttributeError, LookupError):
        return  # pydicom writes no such file
    judge(buffer.getvalue())


@pytest.mark.parametrize("keyword", ABSURD)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_each_absurd_value_alone(keyword: str) -> None:
    for value in ABSURD[keyword]:
        ds = pydicom.dcmread(io.BytesIO(CLASSIC))
        change(ds, keyword, value)
        buffer = io.BytesIO()
        try:
            ds.save_as(buffer, enforce_file_format=False)
        except (ValueError, OverflowError, TypeError, AttributeError, LookupError):
            continue
        judge(buffer.getvalue(), GOOD)


def test_a_name_in_another_character_set_than_told_is_kept_apart_from_errors() -> None:
    ds = pydicom.dcmread(io.BytesIO(CLASSIC))
    content = CLASSIC.replace("Phäntom".encode("latin-1"), b"Ph\xff\xfentm")
    assert content != CLASSIC
    judge(content.replace(b"ISO_IR 100", b"ISO_IR 192"))
    assert Header.of(ds).geometry(0) is not None
