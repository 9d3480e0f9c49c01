import numpy as np
import pytest
from numpy.typing import NDArray

from tumorlens.data.counterfactuals import make_patched, make_transplants, make_twins

S, HEADS = 64, 36


@pytest.fixture(scope="module")
def heads() -> tuple[NDArray[np.float32], NDArray[np.uint8], list[str]]:
    """Heads of two shapes, smooth inside; a bright tumour at one of three places of each, with its outline."""
    y, x = np.mgrid[:S, :S] / S - 0.5
    rng = np.random.default_rng(0)
    images, coverage = [], []
    for i in range(HEADS):
        wide = 0.42 if i % 2 else 0.3
        head = ((x / wide) ** 2 + (y / 0.45) ** 2 < 1).astype(np.float32)
        image = head * (0.4 + 0.05 * np.sin(20 * x + i % 2)) + rng.normal(0, 0.005, (S, S))
        at = [(20, 24), (32, 38), (44, 26)][i // 2 % 3]
        tumour = np.hypot(np.arange(S)[:, None] - at[0], np.arange(S) - at[1]) < 4
        image[tumour] = 0.95
        images.append(image.clip(0, 1))
        coverage.append(tumour * 255)
    return np.array(images, np.float32), np.array(coverage, np.uint8), [f"patient {i}" for i in range(HEADS)]


def test_a_twin_has_no_tumour_and_is_the_same_elsewhere(
    heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]],
) -> None:
    images, coverage, patients = heads
    twins = make_twins(images, coverage, patients)
    assert twins.scan.tolist() == list(range(HEADS))
    for k, i in enumerate(twins.scan):
        twin, share = twins.images[k] / 255, twins.replaced[k] / 255
        assert images[i][coverage[i] > 0].min() > 0.9
        assert twin[coverage[i] > 0].max() < 0.6, "the tumour is still there"
        assert share[coverage[i] > 0].min() == 1
        untouched = share == 0
        assert untouched.mean() > 0.8
        assert np.abs(twin - images[i])[untouched].max() <= 0.5 / 255 + 1e-6


def test_donors_are_other_patients_alike_with_no_tumour_there(
    heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]],
) -> None:
    images, coverage, _ = heads
    patients = [f"patient {i // 4}" for i in range(HEADS)]
    twins = make_twins(images, coverage, patients, variants=3)
    for i, donor in zip(twins.scan.tolist(), twins.donor.tolist(), strict=True):
        assert patients[donor] != patients[i]
        # The other shape of head is less alike; its tumours, or their mirror images, are never pasted.
        assert donor % 2 == i % 2
        assert not ((coverage[donor] > 0) & (coverage[i] > 0)).any()


def test_intensities_are_matched_at_the_seam(heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]]) -> None:
    images, coverage, patients = heads
    darker = images * np.where(np.arange(HEADS) % 4 < 2, 1.0, 0.6)[:, None, None].astype(np.float32)
    twins = make_twins(darker, coverage, patients)
    for k, i in enumerate(twins.scan):
        inside = twins.images[k][coverage[i] > 0] / 255
        around = darker[i][(twins.replaced[k] == 0) & (darker[i] > 0.15) & (coverage[i] == 0)]
        assert inside.mean() == pytest.approx(around.mean(), abs=0.06)


def test_variants_come_from_several_donors_and_a_seed_chooses_them(
    heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]],
) -> None:
    images, coverage, patients = heads
    one = make_twins(images, coverage, patients, variants=3, seed=1)
    assert len(one) == 3 * HEADS
    assert len({(s, d) for s, d in zip(one.scan.tolist(), one.donor.tolist(), strict=True)}) > 2 * HEADS
    again = make_twins(images, coverage, patients, variants=3, seed=1)
    assert np.array_equal(one.images, again.images)
    assert not np.array_equal(one.donor, make_twins(images, coverage, patients, variants=3, seed=2).donor)


def test_a_patch_lies_off_the_scans_own_tumour(heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]]) -> None:
    images, coverage, patients = heads
    patched = make_patched(images, coverage, patients)
    assert len(patched) >= HEADS - 6
    for k, i in enumerate(patched.scan):
        assert patched.replaced[k].any()
        assert not patched.replaced[k][coverage[i] > 0].any()
        assert np.abs(patched.images[k] / 255 - images[i])[coverage[i] > 0].max() <= 0.5 / 255 + 1e-6
        assert patched.images[k].max() <= 255 * images[i].max() + 1, "a tumour was pasted"


def test_scans_without_outlines_get_patches_and_no_twins(
    heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]],
) -> None:
    images, coverage, patients = heads
    some = coverage.copy()
    some[:4] = 0
    assert make_twins(images, some, patients).scan.min() == 4
    assert 0 in make_patched(images, some, patients).scan
    assert len(make_patched(images, np.zeros_like(some), patients)) == 0


def test_without_another_patient_there_is_no_donor(
    heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]],
) -> None:
    images, coverage, _ = heads
    assert len(make_twins(images, coverage, ["one"] * HEADS)) == 0


def test_a_lesion_that_nobody_outlined_is_not_pasted(
    heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]],
) -> None:
    images, coverage, patients = heads
    ill = images.copy()
    y, x = np.mgrid[:S, :S]
    for i in range(0, HEADS, 3):  # a second lesion where others have their tumour
        at = next(c for c in [(20, 24), (32, 38), (44, 26)] if not coverage[i][c])
        ill[i][np.hypot(y - at[0], x - at[1]) < 4] = 0.95
    twins = make_twins(ill, coverage, patients, variants=3)
    bright = [twins.images[k][coverage[i] > 0].max() > 200 for k, i in enumerate(twins.scan)]
    assert not any(bright)


def test_growing_replaces_more(heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]]) -> None:
    images, coverage, patients = heads
    narrow, wide = (make_twins(images, coverage, patients, grow=g).replaced.sum() for g in (0.0, 0.06))
    assert wide > 1.5 * narrow


def test_a_transplant_is_anothers_tumour_in_a_twin_with_its_outline(
    heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]],
) -> None:
    images, coverage, patients = heads
    twins = make_twins(images, coverage, patients)
    transplants = make_transplants(images, coverage, patients, twins, np.ones(HEADS, bool), variants=4)
    assert len(transplants) > 20
    sizes = []
    for k, source in enumerate(transplants.tumour):
        inside = transplants.coverage[k] > 230
        picture = transplants.images[k] / 255
        assert picture[inside].mean() > 0.75, "the tumour is bright where its outline says"
        rest = (transplants.coverage[k] == 0) & (np.abs(picture - 0.95) < 0.04)
        assert rest.sum() < 8, "the twin has no other tumour"
        sizes.append((transplants.coverage[k] > 127).sum() / (coverage[source] > 127).sum())
    assert min(sizes) < 0.4
    assert 0.8 < max(sizes) <= 1.1


def test_what_is_bound_to_its_place_stays_there(
    heads: tuple[NDArray[np.float32], NDArray[np.uint8], list[str]],
) -> None:
    images, coverage, patients = heads
    twins = make_twins(images, coverage, patients)
    movable = np.arange(HEADS) >= HEADS // 2
    transplants = make_transplants(images, coverage, patients, twins, movable, variants=4)

    def centre(mask: NDArray[np.uint8]) -> NDArray[np.float64]:
        middle: NDArray[np.float64] = np.argwhere(mask > 127).mean(0)
        return middle

    strays = np.array(
        [
            np.hypot(*(centre(transplants.coverage[k]) - centre(coverage[source])))
            for k, source in enumerate(transplants.tumour)
        ]
    )
    bound = ~movable[transplants.tumour]
    assert bound.sum() > 10
    assert strays[bound].max() < 0.1 * S
    assert strays[~bound].max() > 0.15 * S
