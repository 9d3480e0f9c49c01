from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, read_scan
from tumorlens.errors import DataError
from tumorlens.evaluation.heatmaps.localization import (
    SIZES,
    Localization,
    MethodLocalization,
    judge_maps,
    pool,
    summarize,
)
from tumorlens.outline import Outline

VALIDATION, TEST = np.arange(3), np.arange(3, 9)


def localize(*arguments: Any, **options: Any) -> Localization:
    return summarize(judge_maps(*arguments, **options))


def by_key(found: Localization) -> dict[str, MethodLocalization]:
    return {m.key: m for m in found.methods}


def test_maps_on_the_tumour_score_high_and_beat_every_baseline(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    found = localize(make_spotter(), make_spots(8), VALIDATION, TEST)
    gradcam = by_key(found)["gradcam"]
    assert gradcam.overall.pointing.value == 1
    assert gradcam.overall.dice.value > 0.75
    assert gradcam.overall.blank.value == 0
    assert gradcam.overall.mass.value > 10 * by_key(found)["chance"].overall.mass.value
    assert by_key(found)["centre"].overall.pointing.value < 0.5
    assert found.best_baseline == "brightest"  # the spot is what is bright
    assert gradcam.gain.value == pytest.approx(0)
    assert by_key(found)["centre"].gain.value < 0


def test_scans_without_an_outline_are_left_out(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    found = localize(make_spotter(), make_spots(8), VALIDATION, TEST)
    assert found.n == 5  # of 6, one has no tumour
    assert found.groups == 3
    assert found.fitted_on == 3


def test_parts_by_class_and_size_add_up(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    found = by_key(localize(make_spotter(), make_spots(8), VALIDATION, TEST))["gradcam"]
    assert list(found.classes) == ["glioma", "meningioma"]
    assert sum(f.n for f in found.classes.values()) == 5
    assert sum(f.n for f in found.sizes.values()) == 5
    assert set(found.sizes) == set(SIZES)  # spots of 0.5, 1.5 and 3.2% of the picture


def test_a_scan_called_nothing_found_counts_as_a_miss_for_its_user(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    slices, classifier = make_spots(4), make_spotter(says=3)  # heat on the spot, for "no tumour"
    seen = by_key(localize(classifier, slices, np.arange(0), np.arange(4)))
    assert seen["gradcam"].overall.blank.value == 1
    assert seen["gradcam"].overall.pointing.value == 0
    assert seen["brightest"].overall.blank.value == 0


def test_the_true_class_can_be_asked_instead(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    slices, classifier = make_spots(4), make_spotter(says=0, bias=1000.0)
    found = localize(classifier, slices, np.arange(0), np.arange(4), target="true")
    gradcam = by_key(found)["gradcam"]
    assert found.target == "true"
    assert gradcam.classes["glioma"].pointing.value == 1
    assert gradcam.classes["meningioma"].blank.value == 1  # a spot does not speak for it


def test_thresholds_come_from_the_validation_part(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    slices, classifier = make_spots(8), make_spotter()
    none = localize(classifier, slices, np.arange(0), TEST)
    fitted = localize(classifier, slices, VALIDATION, TEST)
    same = localize(classifier, slices, TEST, TEST)
    assert none.fitted_on == 0
    assert by_key(none)["gradcam"].threshold == 0.5
    dice = [by_key(f)["centre"].overall.dice.value for f in (none, same)]
    assert dice[1] >= dice[0]  # no threshold does better on the scans it was chosen on
    assert by_key(fitted)["chance"].threshold == 0.05


def test_no_outline_at_all_is_an_error_that_says_so(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    with pytest.raises(DataError, match="no test scan has an outline"):
        localize(make_spotter(), make_spots(4, outlines=False), VALIDATION, TEST[:1])


def test_the_map_is_judged_on_the_scans_own_grid(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    slices = make_spots(4)
    moved = replace(
        slices.manifest,
        entries=tuple(
            replace(e, outline=e.outline and Outline(np.clip(e.outline.points[:, ::-1], 0, 1)))
            for e in slices.manifest.entries
        ),
    )
    right = by_key(localize(make_spotter(), slices, VALIDATION, np.arange(4)))["gradcam"]
    wrong = by_key(localize(make_spotter(), replace(slices, manifest=moved), VALIDATION, np.arange(4)))["gradcam"]
    assert wrong.overall.dice.value < right.overall.dice.value / 2  # rows and columns are not exchanged on the way


def test_the_best_and_the_worst_scan_are_named(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]
) -> None:
    found = localize(make_spotter(), make_spots(8), VALIDATION, TEST)
    assert [s.name for s in found.scans] == [f"{i}.png" for i in range(3, 8)]
    assert all(s.pointing == 1 and not s.blank and 0 < s.mass < 1 for s in found.scans)
    assert found.scans[0].area == pytest.approx(np.pi * (5 / 128) ** 2, rel=0.05)


def test_folds_can_be_pooled(make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]) -> None:
    slices, classifier = make_spots(8), make_spotter()
    parts = [judge_maps(classifier, slices, VALIDATION, part) for part in (np.arange(3, 5), np.arange(5, 8))]
    whole, pooled = localize(classifier, slices, VALIDATION, TEST), summarize(pool(parts))
    assert pooled.n == whole.n
    assert pooled.methods == whole.methods
    assert pooled.fitted_on == 6


def test_it_survives_json(make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices]) -> None:
    found = localize(make_spotter(), make_spots(8), VALIDATION, TEST)
    assert Localization.model_validate_json(found.model_dump_json()) == found


def test_an_untrained_network_can_be_measured_too(
    tiny_classifier: Classifier, make_spots: Callable[..., Slices]
) -> None:
    slices = make_spots(4)
    small = replace(slices, images=np.ascontiguousarray(slices.images[:, :, ::2, ::2]))
    found = localize(tiny_classifier, small, VALIDATION, np.arange(4))
    assert all(0 <= m.overall.mass.value <= 1 for m in found.methods)


def test_a_frame_is_read_by_its_number(make_spots: Callable[..., Slices]) -> None:
    entry = make_spots(1).manifest.entries[0]
    assert read_scan(entry).pixels.shape == (128, 128)
    assert read_scan(replace(entry, name="0.png#0")).frame == 0
