"""What a header says, classic and enhanced, and of what it says badly: nothing."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import DataElement, Dataset, config

from tests.studies import GRIDS, STUDY, classic, enhanced, save
from tumorlens.errors import InputError
from tumorlens.formats.dicom.geometry import plane_of
from tumorlens.formats.dicom.header import Frame, Header, is_uid, read_header

AXIAL = GRIDS["axial"]


def _slice(**elements: Any) -> Dataset:
    """A classic slice with some elements changed, or (None) removed."""
    ds = classic(AXIAL, np.array([1.0, 2.0, 3.0]))
    for keyword, value in elements.items():
        if value is None:
            del ds[keyword]
        else:
            vr = pydicom.datadict.dictionary_VR(keyword)
            ds[keyword] = DataElement(keyword, vr, value, validation_mode=config.IGNORE)
    return ds


def _item(**elements: Any) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def test_a_classic_file_says_what_it_is(tmp_path: Path) -> None:
    ds = _slice(
        SeriesDescription="T1 post", ProtocolName="brain tumour", SequenceName="*tfl3d1", ContrastBolusAgent="Gadovist"
    )
    ds.BodyPartExamined, ds.SpacingBetweenSlices = "BRAIN", 5.5
    path = save(ds, tmp_path / "slice.dcm")
    header = read_header(str(path))

    assert (header.path, header.study, header.uid) == (str(path), STUDY, ds.SOPInstanceUID)
    assert (header.modality, header.body_part, header.contrast) == ("MR", "BRAIN", "Gadovist")
    assert (header.description, header.protocol, header.sequence) == ("T1 post", "brain tumour", "*tfl3d1")
    assert (header.rows, header.columns, header.frames) == (120, 120, None)
    assert (header.series_number, header.number, header.image_type) == (3, 1, ("ORIGINAL", "PRIMARY", "M"))
    assert (header.photometric, header.transfer_syntax) == ("MONOCHROME2", "1.2.840.10008.1.2.1")
    assert header.frame(0) == Frame(
        position=(1, 2, 3),
        orientation=(1, 0, 0, 0, 1, 0),
        spacing=(1.4, 1.4),
        thickness=3,
        slice_spacing=5.5,
        window=(500, 1000),
    )


def test_an_enhanced_file_says_it_frame_by_frame_in_functional_groups() -> None:
    ds = enhanced(AXIAL, [AXIAL.position(i, 3) for i in range(3)])
    ds.PulseSequenceName = "tse"
    ds.ContrastBolusAgentSequence = [_item(CodeMeaning="Gadobutrol")]
    shared, groups = ds.SharedFunctionalGroupsSequence[0], ds.PerFrameFunctionalGroupsSequence
    shared.PixelValueTransformationSequence[0].RescaleSlope = 2
    groups[1].FrameVOILUTSequence = [_item(WindowCenter=7, WindowWidth=9, VOILUTFunction="SIGMOID")]
    groups[2].PixelMeasuresSequence = [_item(PixelSpacing=[2, 3], SpacingBetweenSlices=4)]
    header = Header.of(ds)

    assert (header.sequence, header.contrast, header.frames) == ("tse", "Gadobutrol", 3)
    assert [frame.depth for frame in header.per_frame] == [26, 31, 36]
    assert [frame.window for frame in header.per_frame] == [(500, 1000), (7, 9), (500, 1000)]
    assert [frame.spacing for frame in header.per_frame] == [(1.4, 1.4), (1.4, 1.4), (2, 3)]
    assert [frame.slice_spacing for frame in header.per_frame] == [None, None, 4]
    assert {frame.rescale for frame in header.per_frame} == {(2, 0)}
    assert header.frame(1).window_function == "SIGMOID"
    assert header.frame(7).rescale == (2, 0)  # more frames than functional groups: the shared ones


def test_times_are_where_classic_and_enhanced_files_have_them() -> None:
    assert Header.of(_slice(RepetitionTime=500, EchoTime=12, InversionTime=900)).times == (500, 12, 900)
    ds = enhanced(AXIAL, [AXIAL.position(0, 1)])
    groups = ds.PerFrameFunctionalGroupsSequence[0]
    groups.MRTimingAndRelatedParametersSequence = [_item(RepetitionTime=9000.0)]
    groups.MREchoSequence = [_item(EffectiveEchoTime=110.0)]
    assert Header.of(ds).times == (9000, 110, None)
    ds.SharedFunctionalGroupsSequence[0].MRModifierSequence = [_item(InversionTimes=[2500.0])]
    assert Header.of(ds).times == (9000, 110, 2500)


@pytest.mark.parametrize(
    ("cosines", "usable"),
    [
        ([1, 0, 0, 0, 0.940, 0.342], True),
        ([0.71, 0.71, 0, -0.71, 0.71, 0], True),  # two decimals
        ([0, 0, 0, 0, 0, 0], False),
        ([1, 0, 0, 1, 0, 0], False),
        ([9e9, 0, 0, 0, 1, 0], False),
    ],
)
def test_an_orientation_is_of_unit_vectors_at_right_angles(cosines: list[float], usable: bool) -> None:
    assert Header.of(_slice(ImageOrientationPatient=cosines)).frame(0).orientation == (
        tuple(cosines) if usable else None
    )


@pytest.mark.parametrize("missing", ["ImagePositionPatient", "PixelSpacing", "FrameOfReferenceUID"])
def test_without_any_part_of_it_there_is_no_geometry(missing: str) -> None:
    assert Header.of(_slice()).geometry(0) is not None
    assert Header.of(_slice(**{missing: None})).geometry(0) is None


@pytest.mark.parametrize(
    ("keyword", "value", "field", "said"),
    [
        ("PixelSpacing", [0, 1], "spacing", None),
        ("PixelSpacing", [1, 1, 1], "spacing", None),
        ("PixelSpacing", [1e30, 1], "spacing", None),
        ("ImagePositionPatient", [1, 2], "position", None),
        ("ImagePositionPatient", [1e16, 0, 0], "position", None),
        ("SliceThickness", -3, "thickness", None),
        ("RescaleSlope", 0, "rescale", None),
        ("RescaleIntercept", -7, "rescale", (1, -7)),
        ("WindowWidth", "", "window", (500, None)),
        ("WindowCenter", [40, 80], "window", (40, 1000)),
    ],
)
def test_of_absurd_numbers_a_frame_says_nothing(keyword: str, value: Any, field: str, said: Any) -> None:
    assert getattr(Header.of(_slice(**{keyword: value})).frame(0), field) == said


def test_one_value_that_cannot_be_parsed_costs_itself_only(tmp_path: Path) -> None:
    path = save(_slice(InstanceNumber="7777"), tmp_path / "slice.dcm")
    path.write_bytes(path.read_bytes().replace(b"7777", b"SECR").replace(b"ISO_IR 100", b"ISO_IR 999"))
    header = read_header(str(path))

    assert (header.number, header.series_number, header.modality) == (None, 3, "MR")


def test_nothing_that_may_name_the_patient_is_printed() -> None:
    header = Header.of(_slice(SeriesDescription="Petra"))

    assert (header.patient, header.description) == ("PH-1", "Petra")
    assert not any(secret in repr(header) for secret in ("PH-1", "Petra", STUDY))


def test_a_contrast_agent_is_one_that_is_named() -> None:
    assert not Header.of(_slice()).contrast
    assert not Header.of(_slice(ContrastBolusAgent="")).contrast


def test_what_is_no_uid() -> None:
    texts = ("1.2.840.10008", "1.02", "", "..", "1.", "x", "1." * 40 + "1")
    assert [text for text in texts if is_uid(text)] == ["1.2.840.10008", "1.02"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_bytes_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    ds = enhanced(AXIAL, [AXIAL.position(0, 1)])
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.save_as(buffer, enforce_file_format=True)
    content = bytearray(buffer.getvalue()[:2000])
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated.dcm"
    path.write_bytes(content)
    try:
        header = read_header(str(path))
    except InputError:
        return
    assert plane_of(header.frame(0).orientation) in ("axial", "coronal", "sagittal", "oblique", None)
