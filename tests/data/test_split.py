import numpy as np
import pytest
from numpy.typing import NDArray

from tumorlens.data.split import Split, shared_groups, split_randomly, split_training
from tumorlens.errors import DataError

SHARES = np.array([0.45, 0.3, 0.2, 0.05])


@pytest.fixture
def labels() -> NDArray[np.int64]:
    """1000 scans of four classes, from 450 to 50 of each."""
    return np.random.default_rng(0).permutation(np.repeat(np.arange(4), (SHARES * 1000).astype(int)))


@pytest.fixture
def patients(labels: NDArray[np.int64]) -> list[str]:
    """Patients of about five scans, each of one class."""
    rng = np.random.default_rng(1)
    return [f"{label}-{rng.integers(SHARES[label] * 200)}" for label in labels]


def scans(count: int) -> list[str]:
    return [f"{i}.png" for i in range(count)]


def check_parts(split: Split, count: int) -> None:
    """Every scan is in exactly one part."""
    assert sorted(np.concatenate(list(split.parts.values())).tolist()) == list(range(count))


def test_scan_by_scan_it_is_80_to_20_in_every_class(labels: NDArray[np.int64]) -> None:
    split = split_randomly(labels, scans(1000))
    check_parts(split, 1000)
    assert len(split.test) == 200
    assert np.abs(np.bincount(labels[split.test]) - SHARES * 200).max() <= 1
    assert len(split.validation) == 80
    assert np.abs(np.bincount(labels[split.validation]) - SHARES * 80).max() <= 1


@pytest.mark.parametrize("test", [0.1, 0.25, 0.5])
def test_other_shares(labels: NDArray[np.int64], test: float) -> None:
    assert len(split_randomly(labels, scans(1000), test=test).test) == 1000 * test


def test_groups_are_never_torn_apart(labels: NDArray[np.int64], patients: list[str]) -> None:
    for seed in range(5):
        split = split_randomly(labels, patients, seed=seed)
        check_parts(split, 1000)
        parts = [{patients[i] for i in part} for part in split.parts.values()]
        assert sum(map(len, parts)) == len(set(patients))
        assert shared_groups(patients, split) == 0
        shares = np.bincount(labels[split.test], minlength=4) / len(split.test)
        assert np.abs(shares - SHARES).max() < 0.05
        assert 150 < len(split.test) < 250


def test_the_test_part_does_not_depend_on_the_validation_part(labels: NDArray[np.int64], patients: list[str]) -> None:
    for groups in (scans(1000), patients):
        few, many = (split_randomly(labels, groups, validation=share) for share in (0.05, 0.3))
        assert few.test.tolist() == many.test.tolist()
        assert len(few.validation) < len(many.validation)
        assert sorted([*few.train, *few.validation]) == sorted([*many.train, *many.validation])


def test_validation_comes_out_of_the_training_part(labels: NDArray[np.int64]) -> None:
    training, test = np.arange(0, 900), np.arange(900, 1000)
    splits = [split_training(labels, scans(1000), training, test, seed=seed) for seed in (0, 1)]
    for split in splits:
        assert split.test.tolist() == test.tolist()
        assert sorted([*split.train, *split.validation]) == training.tolist()
        assert len(split.validation) == 90
    assert splits[0].validation.tolist() != splits[1].validation.tolist()


def test_same_seed_same_split(labels: NDArray[np.int64], patients: list[str]) -> None:
    for groups in (scans(1000), patients):
        one, again, other = (split_randomly(labels, groups, seed=seed) for seed in (3, 3, 4))
        assert all(one.parts[name].tolist() == again.parts[name].tolist() for name in one.parts)
        assert one.test.tolist() != other.test.tolist()


def test_a_class_of_few_patients_is_in_every_part_and_takes_no_share_from_the_others() -> None:
    labels = np.array([0] * 300 + [1] * 30)
    groups = [f"a{i // 3}" for i in range(300)] + [f"b{i // 10}" for i in range(30)]  # three patients of class 1
    for seed in range(5):
        split = split_randomly(labels, groups, seed=seed)
        assert all(set(labels[part].tolist()) == {0, 1} for part in split.parts.values())
        assert shared_groups(groups, split) == 0
        assert len(split.test) < 100


@pytest.mark.parametrize(
    ("labels", "groups"),
    [
        ([0, 0, 0, 0, 1], "abcde"),
        ([0, 0, 0, 0, 1, 1], "abcdee"),
        ([0, 0, 0, 1, 1, 1], "aabbbb"),
    ],
)
def test_a_class_of_one_scan_or_group_is_refused(labels: list[int], groups: str) -> None:
    with pytest.raises(DataError, match=r"a class has a single scan, patient.*add scans of it, or leave it out"):
        split_randomly(np.array(labels), list(groups))


def test_too_few_scans_are_refused() -> None:
    with pytest.raises(DataError, match="too few scans to split; add some"):
        split_randomly(np.array([0, 0, 1, 1, 2, 2]), scans(6))


def test_too_few_groups_for_three_parts_are_refused() -> None:
    labels = np.repeat([0, 1], 20)
    with pytest.raises(DataError, match="add"):
        split_randomly(labels, [f"{i // 10}" for i in range(40)])


def test_one_class_is_refused() -> None:
    with pytest.raises(DataError, match="all scans are of one class; add scans of another"):
        split_randomly(np.zeros(50, int), scans(50))


@pytest.mark.parametrize("share", [0, 0.6, -1])
def test_a_share_that_is_no_split(labels: NDArray[np.int64], share: float) -> None:
    with pytest.raises(DataError, match=r"choose more than 0 and at most 0\.5"):
        split_randomly(labels, scans(1000), test=share)


@pytest.mark.parametrize("empty", ["training", "test"])
def test_an_empty_part_is_refused(labels: NDArray[np.int64], empty: str) -> None:
    parts = {"training": np.arange(500), "test": np.arange(500, 1000), empty: np.array([], int)}
    with pytest.raises(DataError, match="choose another --split"):
        split_training(labels, scans(1000), parts["training"], parts["test"])


def test_a_class_that_is_only_tested_is_refused(labels: NDArray[np.int64]) -> None:
    rest, third = np.flatnonzero(labels != 3), np.flatnonzero(labels == 3)
    with pytest.raises(DataError, match="the test part has a class that the training part lacks"):
        split_training(labels, scans(1000), rest, third)


def test_a_test_part_may_lack_a_class(labels: NDArray[np.int64]) -> None:
    test = np.flatnonzero(labels == 0)[:50]
    split = split_training(labels, scans(1000), np.setdiff1d(np.arange(1000), test), test)
    assert split.test.tolist() == test.tolist()


def test_shared_groups() -> None:
    split = Split(train=np.array([0, 1]), validation=np.array([2]), test=np.array([3, 4, 5, 6]))
    assert shared_groups(list("abcabcd"), split) == 0.75
    assert shared_groups(list("abcdefg"), split) == 0
    assert shared_groups(list("ab"), Split(np.array([0]), np.array([1]), np.array([], int))) == 0
