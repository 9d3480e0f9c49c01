"""What slices say together: which of them decide, and when nobody can tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import permutations

import pytest

from tumorlens.card import StudyRule
from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.place import SlicePlace
from tumorlens.sequence import Flaw, Sequence, SeriesInfo
from tumorlens.study import SliceFinding, StudyFinding, find_in_studies, find_in_study

RULE = StudyRule()
AXIAL, CORONAL = (1.0, 0, 0, 0, 1, 0), (1.0, 0, 0, 0, 0, -1)


@dataclass(frozen=True)
class Answer:
    """What a study takes of a slice's finding."""

    label: str | None
    probabilities: dict[str, float] = field(default_factory=dict)
    unknown: bool = False
    source: str = "scan"
    frame: int = 0


def answer(label: str, p: float) -> Answer:
    keys = BRAIN_TUMORS.keys
    return Answer(label, {key: p if key == label else (1 - p) / (len(keys) - 1) for key in keys})


NOTHING, UNKNOWN = answer("no_tumor", 0.97), Answer(None, unknown=True)


def series(
    answers: list[Answer],
    step: float | None = None,
    *,
    name: str = "s",
    orientation: tuple[float, ...] | None = None,
    sequence: Sequence | None = None,
    flaw: Flaw | None = None,
) -> list[SliceFinding]:
    """A series of slices so many mm apart."""
    info = SeriesInfo(sequence=sequence, flaw=flaw)
    return [
        SliceFinding(
            each,
            SlicePlace(
                study="study",
                series=name,
                number=(i + 1, 0),
                orientation=orientation,
                depth=None if step is None else step * i,
                info=info,
            ),
        )
        for i, each in enumerate(answers)
    ]


def together(slices: list[SliceFinding], classes: ClassSet = BRAIN_TUMORS, rule: StudyRule = RULE) -> StudyFinding:
    return find_in_study(slices, classes, rule)


def test_one_slice_speaks_for_itself() -> None:
    study = together(series([answer("glioma", 0.91)]))

    assert (study.label, study.key_slices, study.answer) == ("glioma", (0,), "present")
    assert study.confidence == pytest.approx(0.91)
    assert str(study) == "glioma suspected, 91%"


def test_neighbours_that_agree_outvote_a_lone_slip() -> None:
    slip, tumour = answer("meningioma", 0.99), [answer("glioma", 0.8)] * 3
    study = together(series([NOTHING, slip, NOTHING, NOTHING, *tumour, NOTHING]))

    assert study.label == "glioma"
    assert set(study.key_slices) > {4, 5, 6}
    assert study.counts == {"glioma": 3, "meningioma": 1, "pituitary": 0, "no_tumor": 4}


def test_a_lone_slip_is_no_tumour_of_the_study() -> None:
    study = together(series([NOTHING] * 5 + [answer("meningioma", 0.9)] + [NOTHING] * 5))

    assert (study.label, study.answer) == ("no_tumor", "absent")
    assert str(study) == "no tumour, 74%"


def test_unknown_slices_have_no_vote() -> None:
    study = together(series([*[UNKNOWN] * 4, NOTHING, NOTHING]))

    assert study.label == "no_tumor"
    assert (study.unknown_slices, len(study.slices)) == (4, 6)


def test_a_study_of_unknown_slices_has_no_class_and_says_so() -> None:
    study = together(series([UNKNOWN] * 2))

    assert (study.label, study.confidence, study.probabilities) == (None, None, {})
    assert (study.answer, study.uncertain, study.unknown) == ("not assessable", True, True)
    assert str(study) == "not assessable: every slice is unlike the scans of the training"


def test_neighbours_are_of_one_series() -> None:
    slip = [*[answer("glioma", 0.9)] * 2, NOTHING, NOTHING, NOTHING]
    ends = series([*slip[::-1], *slip])  # the end of one series and the beginning of the next

    assert together(ends).label == "glioma"
    assert together(series(slip[::-1], name="a") + series(slip, name="b")).label == "no_tumor"


def test_neighbours_are_of_one_stack_though_a_series_holds_two() -> None:
    slip = [*[answer("glioma", 0.9)] * 2, NOTHING, NOTHING, NOTHING]
    ends = series(slip[::-1], orientation=AXIAL) + series(slip, orientation=CORONAL)

    assert together(ends).label == "no_tumor"
    assert [s.plane for s in together(ends).series] == ["axial", "coronal"]


@pytest.mark.parametrize("step", [1.0, 5.0])
def test_as_many_slices_decide_as_cover_a_tumour(step: float) -> None:
    count = round(RULE.extent / step)
    study = together(series([answer("glioma", 0.9)] * count + [NOTHING] * 40, step))

    assert study.label == "glioma"
    assert study.key_slices == tuple(range(count))


def test_a_slip_in_a_few_thin_slices_is_no_tumour() -> None:
    answers = [NOTHING] * 20 + [answer("meningioma", 0.99)] * 5 + [NOTHING] * 20

    assert together(series(answers)).label == "meningioma"
    assert together(series(answers, 1.0)).label == "no_tumor"


def test_series_are_averaged_so_that_a_slip_in_one_is_no_tumour() -> None:
    slip, quiet = [answer("meningioma", 0.9)] * 4 + [NOTHING] * 8, [NOTHING] * 12

    assert together(series(slip, name="a") + series(quiet, name="b") + series(quiet, name="c")).label == "no_tumor"
    two_of_three = together(series(slip, name="a") + series(slip, name="b") + series(quiet, name="c"))
    assert (two_of_three.label, two_of_three.answer) == ("meningioma", "present")


def test_a_series_too_short_for_a_row_counts_only_where_all_are() -> None:
    short, whole = [answer("pituitary", 0.99)], [NOTHING] * 9

    study = together(series(short, name="short") + series(whole, name="whole"))
    assert study.label == "no_tumor"
    assert [(s.counted, s.reason) for s in study.series] == [(False, "too few slices"), (True, "")]
    assert together(series(short, name="a") + series(short, name="b")).label == "pituitary"


def test_each_series_has_its_own_distances() -> None:
    thick = [answer("glioma", 0.9)] * 6 + [NOTHING] * 6
    thin = [NOTHING] * 10 + [answer("glioma", 0.9)] * 30 + [NOTHING] * 20
    study = together(series(thick, 5.0, name="thick") + series(thin, 1.0, name="thin"))

    assert study.label == "glioma"
    assert study.key_slices == (*range(6), *range(12 + 10, 12 + 40))


@pytest.mark.parametrize("step", [None, 0.0])
def test_without_distances_a_few_neighbours_decide(step: float | None) -> None:
    study = together(series([answer("glioma", 0.9)] * 6, step))

    assert len(study.key_slices) == RULE.neighbours


def test_t1_post_contrast_decides_where_there_is_some() -> None:
    tumour, quiet = [answer("glioma", 0.9)] * 6, [NOTHING] * 6
    t1c = series(tumour, name="t1c", sequence="T1 post-contrast")
    others = series(quiet, name="t2", sequence="T2") + series(quiet, name="flair", sequence="FLAIR")
    study = together(others + t1c)

    assert study.label == "glioma"
    assert [s.reason for s in study.series] == ["T1 post-contrast decides", "T1 post-contrast decides", ""]
    assert all(i >= len(others) for i in study.key_slices)
    assert together(others + series(tumour, name="x")).label == "no_tumor"  # by the mean of three


def test_a_few_slices_of_t1_post_contrast_do_not_silence_whole_series() -> None:
    few = series([answer("glioma", 0.99)], name="t1c", sequence="T1 post-contrast")

    assert together(series([NOTHING] * 9, name="t2", sequence="T2") + few).label == "no_tumor"


@pytest.mark.parametrize("flaw", ["localiser", "mosaic of slices", "projection of others", "no MR or CT image"])
def test_what_holds_no_slices_to_judge_has_no_vote(flaw: Flaw) -> None:
    flawed, whole = series([answer("glioma", 0.99)] * 9, name="f", flaw=flaw), series([NOTHING] * 9, name="w")

    assert together(flawed + whole).label == "no_tumor"
    alone = together(flawed)
    assert (alone.label, alone.uncertain, str(alone)) == (None, True, f"not assessable: {flaw}")


def test_an_image_that_is_given_twice_counts_once() -> None:
    twice = series([answer("glioma", 0.9)] + [NOTHING] * 5, 5.0)
    twice = [SliceFinding(s.finding, s.place.model_copy(update={"instance": f"i{n}"})) for n, s in enumerate(twice)]

    assert together(twice + [twice[0]] * 20).probabilities == together(twice).probabilities


def test_no_order_of_the_slices_changes_a_digit() -> None:
    parts = [
        series([answer("glioma", 0.1 + 0.07 * i) for i in range(9)], 7.0, name="a"),
        series([answer("pituitary", 0.9 - 0.03 * i) for i in range(8)], 3.3, name="b"),
        series([answer("no_tumor", 0.31 + 0.01 * i) for i in range(7)], name="c"),
    ]
    answers = set()
    for order in permutations(parts):
        study = together([s for part in order for s in part[::-1]])
        answers.add(tuple(study.probabilities.items()))
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("p", "text"),
    [
        ((0.45, 0.03, 0.02, 0.5), "uncertain: no tumour 50%, glioma 45%"),
        ((0.3, 0.15, 0.15, 0.4), "uncertain: no tumour 40%, glioma 30%"),
        ((0.45, 0.4, 0.05, 0.1), "uncertain: glioma 45%, meningioma 40%"),
        ((0.55, 0.25, 0.1, 0.1), "glioma suspected, 55%"),
        ((0.2, 0.05, 0.05, 0.7), "no tumour, 70%"),
    ],
)
def test_an_answer_may_be_that_nobody_can_tell(p: tuple[float, ...], text: str) -> None:
    probabilities = dict(zip(BRAIN_TUMORS.keys, p, strict=True))
    study = together(series([Answer(max(probabilities, key=probabilities.__getitem__), probabilities)]))

    assert str(study) == text
    assert study.uncertain == text.startswith("uncertain")
    assert study.label == max(probabilities, key=probabilities.__getitem__)


def test_the_card_may_carry_other_numbers() -> None:
    slices = series([answer("glioma", 0.55)] * 4 + [NOTHING] * 8, 5.0)  # any tumour: 0.85

    assert together(slices, rule=StudyRule(extent=20)).answer == "present"
    assert together(slices, rule=StudyRule(extent=20, present_above=0.9)).answer == "uncertain"
    assert together(slices, rule=StudyRule(extent=20, named_above=0.6)).answer == "uncertain"
    assert together(slices, rule=StudyRule(extent=50)).answer == "absent"
    assert together(slices, rule=StudyRule(extent=50, absent_below=0.3)).answer == "uncertain"


def test_each_study_among_slices_has_its_own_finding_and_pictures_have_none() -> None:
    other = [SliceFinding(s.finding, s.place.model_copy(update={"study": "other"})) for s in series([NOTHING] * 3)]
    picture = [SliceFinding(s.finding, s.place.model_copy(update={"study": ""})) for s in series([NOTHING])]
    tumour = series([answer("glioma", 0.9)] * 3)
    studies = find_in_studies([tumour[0], *other, *tumour[1:], *picture], BRAIN_TUMORS)

    assert [(s.label, len(s.slices)) for s in studies] == [("glioma", 3), ("no_tumor", 3)]


def test_a_record_names_its_key_slices_and_nothing_that_identifies() -> None:
    slices = [
        SliceFinding(Answer("glioma", answer("glioma", 0.9).probabilities, source=f"study/{i}.dcm"), s.place)
        for i, s in enumerate(series([NOTHING] * 3))
    ]
    record = together(slices).record()

    assert record.source == "study"
    assert [k.source for k in record.key_slices] == ["study/0.dcm", "study/1.dcm", "study/2.dcm"]
    assert record.model_dump()["uncertain"] is False


def test_no_slices_is_an_error() -> None:
    with pytest.raises(ValueError, match="without slices"):
        together([])


def test_a_notebook_shows_the_answer_and_why_series_do_not_count() -> None:
    tumour, localiser = series([answer("glioma", 0.9)] * 6, name="t"), series([NOTHING] * 3, name="l", flaw="localiser")
    study = together(tumour + localiser)

    assert repr(study) == "<StudyFinding of 'scan', 9 slices: glioma suspected, 90%>"
    assert "<b>glioma suspected, 90%</b>" in study._repr_html_()
    assert "<td>localiser</td>" in study._repr_html_()
    assert "not assessable" in together(series([UNKNOWN]))._repr_html_()


def test_a_slip_in_one_slice_is_none_among_its_neighbours_and_a_tumour_is_seen_through_one() -> None:
    glioma = answer("glioma", 0.9)
    slip = together(series([NOTHING] * 5 + [glioma] + [NOTHING] * 5, 6))
    assert slip.suspected == ()
    assert slip.in_context[5] == pytest.approx((0.9667 + 4 * 0.03) / 5, abs=0.01)
    tumour = together(series([NOTHING] * 5 + [glioma, glioma, NOTHING, glioma, glioma] + [NOTHING] * 5, 6))
    assert 7 in tumour.suspected
    assert set(tumour.suspected) <= set(range(4, 11))


def test_unknown_slices_are_neighbours_of_none_and_series_that_do_not_count_are_not_suspected() -> None:
    glioma = answer("glioma", 0.9)
    counted = series([glioma] * 3 + [UNKNOWN] + [glioma] * 3, 6, sequence="T1 post-contrast", name="t1")
    study = together(counted + series([glioma] * 7, 6, sequence="T2", name="t2"))
    assert study.in_context[3] is None
    assert study.suspected == (0, 1, 2, 4, 5, 6)
    assert study.in_context[7] is not None
    assert [k.frame for k in study.record().suspected] == [0] * 6
