"""A lesion at a known place of the patient is where each result says it is, however the slices are cut."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from tests.studies import GRIDS, LESION, Grid, Place, classic, enhanced, save
from tumorlens.classifier import Classifier
from tumorlens.results.analysis import analyse
from tumorlens.results.make import KINDS, make_results
from tumorlens.results.slices import AnalysedStudy


def read_back(results: list[Dataset]) -> dict[str, list[Dataset]]:
    """The objects as a receiver has them: written and read, by kind."""
    found: dict[str, list[Dataset]] = {}
    for result in results:
        buffer = io.BytesIO()
        result.save_as(buffer, enforce_file_format=True)
        buffer.seek(0)
        found.setdefault(KINDS[result.SOPClassUID], []).append(pydicom.dcmread(buffer))
    return found


def centroid(weights: NDArray[np.float64]) -> tuple[float, float]:
    """(row, column) of the middle, in pixels; the first pixel's centre is (0, 0)."""
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return float((rows * weights).sum() / weights.sum()), float((columns * weights).sum() / weights.sum())


def place(position: object, orientation: object, spacing: object, row: float, column: float) -> Place:
    """PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1, written out again so that no code under test computes it."""
    p, o, s = (np.array(v, float) for v in (position, orientation, spacing))
    point: Place = p + o[:3] * s[1] * column + o[3:] * s[0] * row
    return point


def frames_of(ds: Dataset) -> list[tuple[NDArray[np.float64], NDArray[np.float64], str]]:
    """Each frame of a SEG or PM: its pixels, the patient place of its centroid, and the source it says it is of."""
    shared = ds.SharedFunctionalGroupsSequence[0]
    pixels = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    found = []
    for frame, group in zip(pixels, ds.PerFrameFunctionalGroupsSequence, strict=True):
        where = place(
            group.PlanePositionSequence[0].ImagePositionPatient,
            shared.PlaneOrientationSequence[0].ImageOrientationPatient,
            shared.PixelMeasuresSequence[0].PixelSpacing,
            *centroid(frame.astype(float)),
        )
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        found.append((frame, where, f"{source.ReferencedSOPInstanceUID}#{source.get('ReferencedFrameNumber', 1)}"))
    return found


def outlines(kinds: dict[str, list[Dataset]]) -> dict[str, list[tuple[NDArray[np.float64], str]]]:
    """Contours of report and presentation states, as pixels from the corner, with the source they are drawn on."""
    report = hd.sr.Comprehensive3DSR.from_dataset(kinds["report"][0])
    assert isinstance(report.content, hd.sr.MeasurementReport)
    from_report = []
    for group in report.content.get_planar_roi_measurement_groups():
        region = group.roi
        source = region.ContentSequence[0].ReferencedSOPSequence[0]
        frame = source.get("ReferencedFrameNumber", 1)
        from_report.append((region.value, f"{source.ReferencedSOPInstanceUID}#{frame}"))
    from_states = []
    for state in kinds["presentation-state"]:
        for annotation in state.GraphicAnnotationSequence:
            source = annotation.ReferencedImageSequence[0]
            data = np.array(annotation.GraphicObjectSequence[0].GraphicData, float).reshape(-1, 2)
            frame = source.get("ReferencedFrameNumber", 1)
            from_states.append((data, f"{source.ReferencedSOPInstanceUID}#{frame}"))
    return {"report": from_report, "presentation-state": from_states}


def check_places(results: list[Dataset], sources: dict[str, tuple[NDArray[np.float64], Grid]]) -> None:
    """Every frame and contour lies on the lesion, and on the source it says.

    Args:
        results: To check.
        sources: Position and grid of each source, by "UID#frame".
    """
    kinds = read_back(results)
    checked = 0
    for kind in ("segmentation", "parametric-map"):
        for ds in kinds[kind]:
            assert ds.FrameOfReferenceUID.endswith(".9")
            for frame, where, source in frames_of(ds):
                position, grid = sources[source]
                assert frame.shape == grid.shape
                assert where == pytest.approx(nearest(position, grid), abs=0.9 * min(grid.spacing))
                checked += 1
    for found in outlines(kinds).values():
        assert found
        for outline, source in found:
            position, grid = sources[source]
            x, y = middle(outline)
            where = place(position, (*grid.row, *grid.column), grid.spacing, y - 0.5, x - 0.5)
            assert where == pytest.approx(nearest(position, grid), abs=0.9 * min(grid.spacing))
            checked += 1
    assert checked >= 8


def nearest(position: Place, grid: Grid) -> Place:
    """The lesion's middle, in the plane of a slice: each slice shows a round section around it."""
    normal = np.cross(grid.row, grid.column)
    point: Place = LESION + normal * (normal @ (position - LESION))
    return point


def middle(outline: Place) -> Place:
    """Centroid of a polygon."""
    x, y = outline.T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    centroid: Place = np.array([((v + np.roll(v, -1)) * cross).sum() for v in (x, y)]) / (3 * cross.sum())
    return centroid


def write(folder: Path, grid: Grid, count: int = 11, **options: Any) -> dict[str, tuple[NDArray[np.float64], Grid]]:
    """A series of classic images; their places by "UID#1"."""
    sources = {}
    for i in range(count):
        ds = classic(grid, grid.position(i, count), number=i + 1, **options)
        save(ds, folder / f"s{ds.SeriesInstanceUID[-1]}-{count - i}.dcm")
        sources[f"{ds.SOPInstanceUID}#1"] = (grid.position(i, count), grid)
    return sources


@pytest.mark.parametrize("name", GRIDS)
def test_the_lesion_is_where_it_is(name: str, tmp_path: Path, bright: Classifier) -> None:
    sources = write(tmp_path, GRIDS[name])
    analysed = analyse(tmp_path, bright)

    assert len(analysed.shown) == 7
    check_places(make_results(analysed, bright.card), sources)


@pytest.mark.parametrize("name", ["axial", "oblique", "wide pixels"])
def test_of_enhanced_images_too(name: str, tmp_path: Path, bright: Classifier) -> None:
    grid = GRIDS[name]
    positions = [grid.position(i, 7) for i in (3, 0, 6, 2, 4, 1, 5)]  # frames come in no order
    ds = enhanced(grid, positions)
    save(ds, tmp_path / "enhanced.dcm")
    analysed = analyse(tmp_path, bright)

    assert [s.frame for s in analysed.slices] in ([1, 5, 3, 0, 4, 6, 2], [2, 6, 4, 0, 3, 5, 1])
    check_places(
        make_results(analysed, bright.card),
        {f"{ds.SOPInstanceUID}#{i}": (p, grid) for i, p in enumerate(positions, 1)},
    )


def test_mixed_orientations_in_one_series(tmp_path: Path, bright: Classifier) -> None:
    sources = {}
    for number, name in enumerate(["axial", "coronal", "sagittal", "axial", "coronal"], 1):
        grid = GRIDS[name]
        ds = classic(grid, grid.position(3 + number // 4, 7), number=number)
        save(ds, tmp_path / f"{number}.dcm")
        sources[f"{ds.SOPInstanceUID}#1"] = (grid.position(3 + number // 4, 7), grid)
    results = make_results(analyse(tmp_path, bright), bright.card)

    assert sum(KINDS[r.SOPClassUID] == "segmentation" for r in results) == 3  # a plane each
    check_places(results, sources)


def test_gaps_and_repeated_positions(tmp_path: Path, bright: Classifier) -> None:
    grid = GRIDS["oblique"]
    sources = {}
    for number, index in enumerate([0, 2, 3, 3, 4, 6, 12], 1):  # a repeated place, then gaps
        ds = classic(grid, grid.position(index, 7), number=number)
        save(ds, tmp_path / f"{number}.dcm")
        sources[f"{ds.SOPInstanceUID}#1"] = (grid.position(index, 7), grid)
    results = make_results(analyse(tmp_path, bright), bright.card)

    check_places(results, sources)
    told = [source for r in read_back(results)["segmentation"] for _, _, source in frames_of(r)]
    assert len(told) == len(set(told)) == 6


def test_two_series_of_one_study(tmp_path: Path, bright: Classifier) -> None:
    sources = write(tmp_path, GRIDS["axial"], series="1.2.3.1") | write(tmp_path, GRIDS["coronal"], series="1.2.3.2")

    check_places(make_results(analyse(tmp_path, bright), bright.card), sources)


def test_the_heat_map_is_the_finding_s_own(make_study: Callable[..., Path], bright: Classifier) -> None:
    analysed = analyse(make_study(), bright)
    (heat,) = read_back(make_results(analysed, bright.card))["parametric-map"]
    by_source = {source: frame for frame, _, source in frames_of(heat)}

    for s in analysed.shown:
        np.testing.assert_array_equal(by_source[f"{s.header.uid}#1"], s.finding.heatmap)


def test_the_region_has_the_finding_s_pixels(make_study: Callable[..., Path], bright: Classifier) -> None:
    analysed = analyse(make_study(GRIDS["wide pixels"]), bright)
    (segmentation,) = read_back(make_results(analysed, bright.card))["segmentation"]
    areas = {source: frame.sum() for frame, _, source in frames_of(segmentation)}

    for s in analysed.shown:
        assert s.finding.region is not None
        assert areas[f"{s.header.uid}#1"] == s.finding.region.area


@pytest.mark.parametrize("name", GRIDS)
def test_pictures_say_how_they_are_turned(name: str, make_study: Callable[..., Path], bright: Classifier) -> None:
    grid = GRIDS[name]
    analysed = analyse(make_study(grid), bright)
    told = make_results(analysed, bright.card)[0].PatientOrientation
    ends = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "H": (0, 0, 1), "F": (0, 0, -1)}

    for letter, vector in zip(told, (grid.row, grid.column), strict=True):
        assert np.dot(ends[letter], vector) > 0.7


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("PixelSpacing", None),
        ("PixelSpacing", [0, 0]),
        ("ImagePositionPatient", None),
        ("ImagePositionPatient", [1e30, 0, 0]),
        ("ImageOrientationPatient", [1, 0, 0, 1, 0, 0]),
        ("ImageOrientationPatient", [1, 0, 0, 0, 5, 0]),
        ("FrameOfReferenceUID", None),
        ("FrameOfReferenceUID", "PH.1"),
    ],
)
def test_without_geometry_there_are_pictures_and_contours_only(
    keyword: str, value: object, tmp_path: Path, bright: Classifier
) -> None:
    ds = classic(GRIDS["axial"], GRIDS["axial"].position(3, 7))
    if value is None:
        del ds[keyword]
    else:
        vr = pydicom.datadict.dictionary_VR(keyword)
        ds[keyword] = pydicom.DataElement(keyword, vr, value, validation_mode=pydicom.config.IGNORE)
    save(ds, tmp_path / "slice.dcm")
    analysed = analyse(tmp_path, bright)
    kinds = read_back(make_results(analysed, bright.card))

    assert set(kinds) == {"secondary-capture", "presentation-state", "report"}
    assert any("no usable position" in w for w in analysed.warnings)


def test_all_are_of_the_sources_study(make_study: Callable[..., Path], bright: Classifier) -> None:
    analysed: AnalysedStudy = analyse(make_study(), bright)

    assert {r.StudyInstanceUID for r in make_results(analysed, bright.card)} == {analysed.identity.study}
