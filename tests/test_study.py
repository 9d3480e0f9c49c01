"""What slices say together."""

import pytest

from tumorlens.classes import BRAIN_TUMORS
from tumorlens.finding import Finding, WeightsId
from tumorlens.study import EXTENT, NEIGHBOURS, find_in_study


def slice_of(label: str, p: float, *, unknown: bool = False) -> Finding:
    keys = BRAIN_TUMORS.keys
    probabilities = {key: p if key == label else (1 - p) / (len(keys) - 1) for key in keys}
    weights = WeightsId(name="w", sha256="")
    if unknown:
        return Finding("scan", 0, None, {}, weights, unknown=True, strangeness=2.0, reason="too dark")
    return Finding("scan", 0, label, probabilities, weights, strangeness=0.5)


NOTHING = slice_of("no_tumor", 0.97)


def test_one_slice_speaks_for_itself() -> None:
    found = find_in_study([slice_of("glioma", 0.91)], BRAIN_TUMORS)

    assert (found.label, found.key_slices) == ("glioma", (0,))
    assert found.confidence == pytest.approx(0.91)


def test_neighbours_that_agree_outvote_a_lone_slip() -> None:
    slip = slice_of("meningioma", 0.99)
    tumour = [slice_of("glioma", 0.8)] * 3
    found = find_in_study([NOTHING, slip, NOTHING, NOTHING, *tumour, NOTHING], BRAIN_TUMORS)

    assert found.label == "glioma"
    assert set(found.key_slices) > {4, 5, 6}
    assert found.counts == {"glioma": 3, "meningioma": 1, "pituitary": 0, "no_tumor": 4}


def test_a_lone_slip_is_no_tumour_of_the_study() -> None:
    found = find_in_study([NOTHING] * 5 + [slice_of("meningioma", 0.9)] + [NOTHING] * 5, BRAIN_TUMORS)

    assert found.label == "no_tumor"


def test_unknown_slices_have_no_vote() -> None:
    strange = [slice_of("pituitary", 1.0, unknown=True)] * 4
    found = find_in_study([*strange, NOTHING, NOTHING], BRAIN_TUMORS)

    assert found.label == "no_tumor"
    assert (found.unknown, found.unknown_slices, found.slices) == (False, 4, 6)


def test_a_study_of_unknown_slices_says_so() -> None:
    found = find_in_study([slice_of("glioma", 0.9, unknown=True)] * 9, BRAIN_TUMORS)

    assert found.unknown
    assert found.unknown_slices == found.slices == 9
    assert sum(found.counts.values()) == 0
    assert found.label is found.confidence is None
    assert found.probabilities == {}
    assert found.key_slices == (2, 3, 4, 5)


def test_neighbours_are_of_one_series() -> None:
    slip = [*[slice_of("glioma", 0.9)] * 2, NOTHING, NOTHING, NOTHING]
    ends = [*slip[::-1], *slip]  # the end of one series and the beginning of the next

    assert find_in_study(ends, BRAIN_TUMORS).label == "glioma"
    assert find_in_study(ends, BRAIN_TUMORS, ["a"] * 5 + ["b"] * 5).label == "no_tumor"


def test_as_many_slices_decide_as_cover_a_tumour() -> None:
    studies = {step: [slice_of("glioma", 0.9)] * round(EXTENT / step) + [NOTHING] * 40 for step in (1.0, 5.0)}

    for step, findings in studies.items():
        found = find_in_study(findings, BRAIN_TUMORS, positions=[step * i for i in range(len(findings))])
        assert found.label == "glioma"
        assert found.key_slices == tuple(range(round(EXTENT / step)))


def test_a_slip_in_a_few_thin_slices_is_no_tumour() -> None:
    findings = [NOTHING] * 20 + [slice_of("meningioma", 0.99)] * 5 + [NOTHING] * 20
    positions = [float(i) for i in range(len(findings))]  # mm

    assert find_in_study(findings, BRAIN_TUMORS).label == "meningioma"
    assert find_in_study(findings, BRAIN_TUMORS, positions=positions).label == "no_tumor"


def test_series_are_averaged_so_that_a_slip_in_one_is_no_tumour() -> None:
    slip, quiet = [slice_of("meningioma", 0.9)] * 4 + [NOTHING] * 8, [NOTHING] * 12
    series = [name for name in "abc" for _ in range(12)]

    assert find_in_study([*slip, *quiet, *quiet], BRAIN_TUMORS, series).label == "no_tumor"
    assert find_in_study([*slip, *slip, *quiet], BRAIN_TUMORS, series).label == "meningioma"


def test_a_series_too_short_for_a_row_counts_only_where_all_are() -> None:
    localiser, whole = [slice_of("pituitary", 0.99)], [NOTHING] * 9

    assert find_in_study([*localiser, *whole], BRAIN_TUMORS, ["l"] + ["w"] * 9).label == "no_tumor"
    assert find_in_study([*localiser, *localiser], BRAIN_TUMORS, ["l", "m"]).label == "pituitary"


def test_each_series_has_its_own_distances() -> None:
    thick = [slice_of("glioma", 0.9)] * 6 + [NOTHING] * 6
    thin = [NOTHING] * 10 + [slice_of("glioma", 0.9)] * 30 + [NOTHING] * 20
    positions = [5.0 * i for i in range(12)] + [1.0 * i for i in range(60)]
    found = find_in_study([*thick, *thin], BRAIN_TUMORS, ["thick"] * 12 + ["thin"] * 60, positions)

    assert found.label == "glioma"
    assert found.key_slices == (*range(6), *range(12 + 10, 12 + 40))


@pytest.mark.parametrize("positions", [None, [None] * 6, [0.0, None, 2.0, 3.0, 4.0, 5.0], [7.0] * 6])
def test_without_distances_a_few_neighbours_decide(positions: list[float | None] | None) -> None:
    found = find_in_study([slice_of("glioma", 0.9)] * 6, BRAIN_TUMORS, positions=positions)

    assert len(found.key_slices) == NEIGHBOURS


def test_no_slices_is_an_error() -> None:
    with pytest.raises(ValueError, match="without slices"):
        find_in_study([], BRAIN_TUMORS)
