from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.results.conftest import AXIAL
from tests.studies import classic, save
from tumorlens.classifier import Classifier
from tumorlens.results.analysis import analyse


def test_slices_come_as_they_lie_in_the_head(make_study: Callable[..., Path], bright: Classifier) -> None:
    files = sorted(make_study().iterdir())
    analysed = analyse(
        [files[i] for i in (3, 0, 6, 2, 10, 5, 1, 4, 9, 8, 7)], bright
    )  # as they may arrive over the network
    heights = [s.geometry.position[2] for s in analysed.slices if s.geometry]

    assert heights == sorted(heights)
    assert len(heights) == 11


def test_a_tumour_is_found_and_its_slices_are_shown(make_study: Callable[..., Path], bright: Classifier) -> None:
    analysed = analyse(make_study(), bright)

    assert (analysed.presence, analysed.study.label) == ("present", "glioma")
    assert analysed.study.key_slices == (2, 3, 4, 5, 6, 7)  # 30 mm of the 35 that show it
    assert [i for i, s in enumerate(analysed.slices) if s.scan is not None] == [3, 5, 7]
    assert [s.scan for s in analysed.pictured] == [s.scan for s in analysed.slices if s.scan is not None]
    assert [i for i, s in enumerate(analysed.slices) if s in analysed.shown] == [2, 3, 4, 5, 6, 7, 8]
    assert {s.finding.explained for s in analysed.shown} == {"glioma"}


def test_without_a_tumour_nothing_is_shown(make_study: Callable[..., Path], bright: Classifier) -> None:
    analysed = analyse(make_study(lesion=False), bright)

    assert analysed.presence == "absent"
    assert analysed.shown == ()


def test_unknown_scans_are_undetermined(make_study: Callable[..., Path], strange: Classifier) -> None:
    analysed = analyse(make_study(), strange)

    assert analysed.presence == "undetermined"
    assert analysed.shown == ()
    assert "11 of 11 slices are unlike" in analysed.warnings[0]


def test_an_uncertain_answer_is_undetermined_and_shows_no_heat(tmp_path: Path, bright: Classifier) -> None:
    for i in range(11):
        for series, lesion in (("1.1", True), ("1.2", False)):
            ds = classic(AXIAL, AXIAL.position(i, 11), lesion, number=i + 1, series=series)
            save(ds, tmp_path / f"{series}-{i}.dcm")
    analysed = analyse(tmp_path, bright)

    assert analysed.study.text.startswith("uncertain: ")
    assert (analysed.presence, analysed.tumour, analysed.shown) == ("undetermined", None, ())
