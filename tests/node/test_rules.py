"""Rules: which series are taken, each reason why others are not, and no crash whatever a header says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rehearsal.phantoms import make_instance
from tumorlens.formats.dicom.header import Frame, Header
from tumorlens.node.rules import SeriesRule, Verdict, judge, read_instances


def _turned(degrees: float) -> Frame:
    """A frame that is tilted out of the axial plane."""
    angle = math.radians(degrees)
    return Frame(orientation=(1, 0, 0, 0, math.cos(angle), math.sin(angle)))


def _instance(place: int = 1, **changes: Any) -> Header:
    values: dict[str, Any] = {
        "path": f"{place}.dcm",
        "uid": f"1.{place}",
        "series": "1.2",
        "modality": "MR",
        "description": "T1 axial",
        "series_number": 1,
        "image_type": ("ORIGINAL", "PRIMARY"),
        "rows": 64,
        "shared": _turned(0),
    }
    return Header(**(values | changes))


def _one(rule: SeriesRule, *instances: Header) -> Verdict:
    (verdict,) = judge(instances, [rule])
    return verdict


def test_the_default_takes_plain_mr() -> None:
    verdict = _one(SeriesRule(), _instance(1), _instance(2))
    assert (len(verdict.taken), verdict.reasons) == (2, ())


@pytest.mark.parametrize(
    ("rule", "change", "reason"),
    [
        ({}, {"modality": "CT"}, "modality CT, and MR is wanted"),
        ({}, {"modality": ""}, "modality missing"),
        ({}, {"image_type": ("ORIGINAL", "PRIMARY", "LOCALIZER")}, "image type LOCALIZER"),
        ({}, {"image_type": ("DERIVED", "SECONDARY")}, "image type DERIVED; image type SECONDARY"),
        ({}, {"rows": 0}, "it holds no picture"),
        ({"description": {"include": "t2"}}, {}, "the description does not contain 't2'"),
        ({"description": {"exclude": "AXIAL$"}}, {}, "the description contains 'AXIAL$'"),
        ({"orientation": "sagittal"}, {}, "axial, and sagittal is wanted"),
        ({"orientation": "axial"}, {"shared": Frame()}, "no orientation"),
        ({"orientation": "axial", "tolerance": 10}, {"shared": _turned(12)}, "tilted by more than 10 degrees"),
        ({"contrast": "yes"}, {}, "no contrast agent is named"),
        ({"contrast": "no"}, {"contrast": "Gd"}, "a contrast agent is named"),
        ({"slices": (10, 20)}, {}, "1 slices, and 10 to 20 are wanted"),
    ],
)
def test_each_reason_is_said(rule: dict[str, Any], change: dict[str, Any], reason: str) -> None:
    verdict = _one(SeriesRule.model_validate(rule), _instance(**change))
    assert verdict.taken == ()
    assert reason in "; ".join(verdict.reasons)


def test_every_reason_is_said_at_once() -> None:
    rule = SeriesRule(orientation="coronal", contrast="yes")
    verdict = _one(rule, _instance(modality="CT", image_type=("LOCALIZER",)))
    assert len(verdict.reasons) == 4


def test_a_localizer_in_a_good_series_is_left_out_alone() -> None:
    verdict = _one(SeriesRule(), _instance(1), _instance(2, image_type=("LOCALIZER",)), _instance(3))
    assert [i.uid for i in verdict.taken] == ["1.1", "1.3"]
    assert verdict.reasons == ("image type LOCALIZER (1 of 3 instances)",)


def test_slices_are_counted_after_others_are_left_out_and_frames_count() -> None:
    rule = SeriesRule(slices=(3, 9))
    assert _one(rule, _instance(frames=5)).taken
    assert not _one(rule, _instance(1), _instance(2), _instance(3, image_type=("LOCALIZER",))).taken


def test_one_rule_of_several_is_enough_and_refusals_name_theirs() -> None:
    rules = [SeriesRule(name="flair", description={"include": "flair"}), SeriesRule(name="t1", contrast="yes")]
    assert judge([_instance(contrast="Gd")], rules)[0].taken
    (refused,) = judge([_instance()], rules)
    assert [r.split(":")[0] for r in refused.reasons] == ["flair", "t1"]


def test_series_come_by_their_number() -> None:
    numbers = {"b": None, "a": 3, "c": 1}
    verdicts = judge([_instance(series=uid, series_number=n) for uid, n in numbers.items()], [SeriesRule()])
    assert [v.series for v in verdicts] == ["c", "a", "b"]


def _saved(folder: Path, **elements: Any) -> str:
    path = folder / "one.dcm"
    make_instance("rules", **elements).save_as(path, enforce_file_format=True)
    return str(path)


def test_what_cannot_be_parsed_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.dcm"
    bad.write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    instances, problems = read_instances([_saved(tmp_path), str(bad)])
    assert len(instances) == 1
    assert list(problems) == [str(bad)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_headers_never_crash_the_rules(tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(Path(_saved(tmp_path)).read_bytes()[:1400])
    for _ in range(data.draw(st.integers(1, 12))):
        place = data.draw(st.integers(132, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "mutated.dcm"
    path.write_bytes(content[: data.draw(st.integers(140, len(content)))])
    instances, _ = read_instances([str(path)])
    judge(instances, [SeriesRule(orientation="axial", contrast="no", description={"include": "t1"})])
