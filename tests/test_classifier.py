"""The main path: scans in, findings out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from tumorlens.card import Calibration, HeatMapRule
from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError, ModelError
from tumorlens.finding import Finding
from tumorlens.formats import read_scans
from tumorlens.modality import find_modality
from tumorlens.model import build_network
from tumorlens.model.gate import Gate
from tumorlens.overlay import draw_overlay, draw_scan
from tumorlens.preprocess import Preprocessing
from tumorlens.scan import Scan
from tumorlens.study import StudyFinding


def _scans(count: int = 5, seed: int = 0) -> list[Scan]:
    rng = np.random.default_rng(seed)
    shapes = [(40, 40), (64, 50), (33, 90), (120, 120), (50, 70)]
    return [Scan(rng.random(shapes[i % 5], np.float32), f"{i}.png", frame=i) for i in range(count)]


def _sure(classifier: Classifier, label: str, *, flat: bool = False, **card: object) -> Classifier:
    """The same network, but sure of a class; with `flat`, whatever it sees."""
    network = deepcopy(classifier.network)
    weight, bias = list(network.head.parameters())[-2:]
    with torch.no_grad():
        bias.zero_()
        bias[classifier.card.classes.keys.index(label)] = 9
        if flat:
            weight.zero_()
    return Classifier.of(network, classifier.card.model_copy(update=card))


def test_findings_come_in_the_order_of_the_scans_with_their_place_and_weights(
    tiny_classifier: Classifier,
) -> None:
    findings = tiny_classifier.find(_scans(7))
    assert [(f.source, f.frame) for f in findings] == [(f"{i}.png", i) for i in range(7)]
    assert {f.weights for f in findings} == {tiny_classifier.weights}
    assert tiny_classifier.weights.name == "tiny"


def test_probabilities_sum_to_1_and_name_the_label(tiny_classifier: Classifier) -> None:
    for finding in tiny_classifier.find(_scans()):
        assert tuple(finding.probabilities) == BRAIN_TUMORS.keys
        assert sum(finding.probabilities.values()) == pytest.approx(1, abs=1e-12)
        assert finding.label == max(finding.probabilities, key=finding.probabilities.__getitem__)
        assert finding.confidence == max(finding.probabilities.values())


def test_heat_maps_have_the_scans_own_size_and_a_peak_of_1(tiny_classifier: Classifier) -> None:
    for scan, finding in zip(_scans(), tiny_classifier.find(_scans(), target="glioma"), strict=True):
        assert finding.heatmap is not None
        assert finding.heatmap.shape == (scan.height, scan.width)
        assert finding.heatmap.dtype == np.float32
        assert finding.heatmap.min() >= 0
        assert finding.heatmap.max() in (0, 1)


def test_the_size_of_a_batch_changes_nothing(tiny_classifier: Classifier) -> None:
    together = tiny_classifier.find(_scans(7), target="meningioma")
    for size in (1, 3):
        for a, b in zip(together, tiny_classifier.find(_scans(7), target="meningioma", batch_size=size), strict=True):
            assert a.probabilities == pytest.approx(b.probabilities, abs=1e-6)
            np.testing.assert_allclose(a.heatmap, b.heatmap, atol=1e-3)
            assert a.warnings == b.warnings
    with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
        tiny_classifier.find(_scans(), batch_size=0)


def test_findings_come_one_by_one_without_reading_ahead_more_than_a_batch(
    tiny_classifier: Classifier,
) -> None:
    taken = 0

    def scans() -> Iterator[Scan]:
        nonlocal taken
        for scan in _scans(6):
            taken += 1
            yield scan

    next(tiny_classifier.find_each(scans(), batch_size=2))
    assert taken == 2
    assert tiny_classifier.find([]) == []


def test_without_explaining_there_is_no_map_and_the_same_answer(tiny_classifier: Classifier) -> None:
    explained, plain = tiny_classifier.find(_scans()), tiny_classifier.find(_scans(), explain=False)
    for a, b in zip(explained, plain, strict=True):
        assert (b.heatmap, b.region) == (None, None)
        assert (a.label, a.warnings) == (b.label, b.warnings)
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-6)


def test_a_target_is_explained_and_the_label_stays(tiny_classifier: Classifier) -> None:
    sure = _sure(tiny_classifier, "glioma")
    own, other = sure.find(_scans()), sure.find(_scans(), target="pituitary")
    assert [f.label for f in own] == [f.label for f in other] == ["glioma"] * 5
    assert {f.explained for f in own} == {"glioma"}
    assert {f.explained for f in other} == {"pituitary"}
    assert any(not np.allclose(a.heatmap, b.heatmap) for a, b in zip(own, other, strict=True))


def test_a_class_that_means_nothing_found_has_no_heat_unless_it_is_asked_for_and_no_region(
    tiny_classifier: Classifier,
) -> None:
    sure = _sure(tiny_classifier, "no_tumor")
    assert all((f.heatmap, f.region) == (None, None) for f in sure.find(_scans()))
    asked = sure.find(_scans(), target="no_tumor")
    assert all(f.heatmap is not None and f.region is None for f in asked)
    targeted = [f for f in sure.find(_scans(), target="glioma") if f.heatmap is not None and f.heatmap.any()]
    assert targeted
    assert all(f.region is not None for f in targeted)


def test_a_region_is_in_the_scans_own_pixels_and_mm(tiny_classifier: Classifier) -> None:
    scan = Scan(_scans(1)[0].pixels, "x", spacing=(2.0, 0.5))
    for target in ("glioma", "meningioma", "pituitary"):
        (finding,) = tiny_classifier.find([scan], target=target)
        if finding.region is not None:
            assert finding.heatmap is not None
            y, x = np.unravel_index(finding.heatmap.argmax(), finding.heatmap.shape)
            x0, y0, x1, y1 = finding.region.box
            assert x0 <= x < x1
            assert y0 <= y < y1
            assert finding.region.box_mm == (x0 * 0.5, y0 * 2, x1 * 0.5, y1 * 2)
            return
    pytest.fail("no map of this seed has any evidence; take another seed")


def test_an_unknown_target_lists_the_classes(tiny_classifier: Classifier) -> None:
    with pytest.raises(ModelError, match="no class 'edema'; tiny tells apart glioma, meningioma, pituitary, no_tumor"):
        tiny_classifier.find(_scans(), target="edema")


def test_no_positive_evidence_is_said_and_not_drawn(tiny_classifier: Classifier) -> None:
    scan = _scans(1)[0]
    (finding,) = _sure(tiny_classifier, "glioma", flat=True).find([scan])
    assert finding.label == "glioma"
    assert finding.heatmap is not None
    assert not finding.heatmap.any()
    assert finding.region is None
    assert finding.warnings == ("no positive evidence: nothing in the scan speaks for glioma",)
    assert (np.asarray(draw_overlay(scan, finding.heatmap)) == np.asarray(draw_scan(scan))).all()


def test_a_close_call_is_said(tiny_classifier: Classifier) -> None:
    (unsure,) = tiny_classifier.find(_scans(1), explain=False)
    assert unsure.close_call
    (sure,) = _sure(tiny_classifier, "glioma").find(_scans(1), explain=False)
    assert not sure.close_call
    assert sure.warnings == ()


def test_a_small_scan_is_said(tiny_classifier: Classifier) -> None:
    small = Scan(np.random.default_rng(0).random((40, 20), np.float32), "x")
    (finding,) = _sure(tiny_classifier, "glioma").find([small], explain=False)
    assert finding.warnings == ("the scan is smaller (20 x 40) than the network's input",)


def test_colour_is_said_where_the_network_does_not_see_it(tiny_classifier: Classifier) -> None:
    grey = np.random.default_rng(0).random((40, 40, 1), np.float32)
    (finding,) = _sure(tiny_classifier, "glioma").find(
        [Scan(grey * np.array([1, 1, 0.95], np.float32), "x")], explain=False
    )
    assert finding.warnings == ("a colour picture; the network sees its greyscale",)


def test_what_the_reader_noticed_is_passed_on(tiny_classifier: Classifier) -> None:
    scan = Scan(_scans(1)[0].pixels, "x", warnings=("3% of the values are no numbers",))
    (finding,) = _sure(tiny_classifier, "glioma").find([scan], explain=False)
    assert finding.warnings == ("3% of the values are no numbers",)


def test_a_temperature_softens_and_does_not_change_the_label(tiny_classifier: Classifier) -> None:
    sharp = _sure(tiny_classifier, "glioma").find(_scans(), explain=False)
    soft = _sure(tiny_classifier, "glioma", temperature=4.0).find(_scans(), explain=False)
    for a, b in zip(sharp, soft, strict=True):
        assert a.label == b.label
        assert b.confidence < a.confidence


def test_a_bias_speaks_for_its_class(tiny_classifier: Classifier) -> None:
    probabilities = []
    for bias in ({}, {"meningioma": 50.0}):
        card = tiny_classifier.card.model_copy(update={"bias": bias})
        (finding,) = Classifier.of(tiny_classifier.network, card).find(_scans(1), explain=False)
        probabilities.append(finding.probabilities["meningioma"])
    assert probabilities[0] < 0.9
    assert probabilities[1] == pytest.approx(1)


def test_scans_that_are_preprocessed_already_get_the_same_probabilities(tiny_classifier: Classifier) -> None:
    images = np.stack([tiny_classifier.preprocessing(scan) for scan in _scans(7)])
    expected = [list(f.probabilities.values()) for f in tiny_classifier.find(_scans(7), explain=False)]
    np.testing.assert_allclose(tiny_classifier.probabilities(images, batch_size=3), expected, atol=1e-6)


def test_other_classes_and_colour_are_another_card_not_other_code(tiny_classifier: Classifier) -> None:
    network = build_network("cnn", channels=3, classes=2, widths=(4, 8), depth=1)
    changes = {"classes": ClassSet.of(["cat", "dog"]), "preprocessing": Preprocessing(size=32, channels=3)}
    animals = Classifier.of(network, tiny_classifier.card.model_copy(update=changes))
    (finding,) = animals.find([Scan(np.random.default_rng(0).random((40, 40, 3), np.float32), "x")])
    assert set(finding.probabilities) == {"cat", "dog"}
    assert not any("colour" in warning for warning in finding.warnings)


def test_tiles_of_any_size_and_with_alpha_are_one_input(tiny_classifier: Classifier, tmp_path: Path) -> None:
    network = build_network("cnn", channels=3, classes=2, widths=(4, 8), depth=1)
    changes = {
        "classes": ClassSet.of(["benign", "malignant"]),
        "modality": find_modality("SM"),
        "preprocessing": Preprocessing(size=32, channels=3),
    }
    tissue = Classifier.of(network, tiny_classifier.card.model_copy(update=changes))
    rng = np.random.default_rng(0)
    tile = Image.fromarray(rng.normal((200, 110, 170), 25, (32, 32, 3)).clip(0, 255).astype(np.uint8))
    for size in (32, 96, 768):
        tile.resize((size, size), Image.Resampling.NEAREST).save(tmp_path / f"{size}.png")
    tile.convert("RGBA").save(tmp_path / "alpha.png")
    tile.crop((0, 0, 32, 16)).save(tmp_path / "wide.png")
    paths = sorted(tmp_path.glob("*.png"))
    assert [finding.unknown for finding in tissue.find(paths, explain=False)] == [False] * 5
    small, large, middle, alpha, _ = tissue.prepare([scan for path in paths for scan in read_scans(path)])
    np.testing.assert_allclose(alpha, small, atol=1e-6)
    assert 3 * max(np.abs(other - small).mean() for other in (middle, large)) < small.std()


def test_it_loads_from_a_file_and_says_which_weights_these_are(tiny_weights: Path, phantom_scan: Scan) -> None:
    classifier = Classifier.load(tiny_weights)
    (finding,) = classifier.find([phantom_scan])
    assert finding.weights.sha256 == classifier.card.sha256 != "0" * 64
    assert finding.source == phantom_scan.source


def _gated(classifier: Classifier, **card: object) -> Classifier:
    """The classifier with a gate that knows the noise of `_scans`."""
    images = classifier.prepare(_scans(60))
    part = (images, classifier.pool(images))
    return Classifier.of(classifier.network, classifier.card.model_copy(update=card), gate=Gate.fit(part, part))


@pytest.mark.parametrize("explain", [True, False])
def test_a_scan_of_something_else_is_unknown_and_has_no_class(tiny_classifier: Classifier, explain: bool) -> None:
    black = Scan(np.zeros((50, 50), np.float32), "black.png", warnings=("odd",))
    *known, found = _gated(tiny_classifier).find([*_scans(30), black], explain=explain)
    assert found.unknown
    assert found.strangeness > 1
    assert found.reason.startswith("unlike the scans it was trained on")
    assert found.warnings == ("odd",)
    assert (found.label, found.probabilities, found.prediction_set, found.heatmap) == (None, {}, (), None)
    assert np.mean([not f.unknown for f in known]) > 0.8


def test_without_a_gate_nothing_is_judged(tiny_classifier: Classifier) -> None:
    (finding,) = tiny_classifier.find(_scans(1))
    assert (finding.unknown, finding.strangeness) == (False, None)
    assert tiny_classifier.judge(np.zeros((1, 1, 32, 32), np.float32)) is None


def test_scans_are_judged_alike_one_by_one_and_prepared_already(tiny_classifier: Classifier) -> None:
    gated = _gated(tiny_classifier)
    judged = gated.judge(gated.prepare(_scans(5)))
    assert judged is not None
    scores = [f.strangeness for f in gated.find(_scans(5), batch_size=2)]
    assert scores == pytest.approx([one.score for one in judged], rel=1e-4)


def test_the_prediction_set_begins_with_the_label_and_holds_what_the_thresholds_let_in(
    tiny_classifier: Classifier,
) -> None:
    thresholds = {"glioma": 1.0, "meningioma": 0.0, "pituitary": 1.0, "no_tumor": 0.0}
    calibration = Calibration(scans=dict.fromkeys(thresholds, 9), coverage=0.9, set_thresholds=thresholds, accepted=0.9)
    card = tiny_classifier.card.model_copy(update={"calibration": calibration})
    for finding in Classifier.of(tiny_classifier.network, card).find(_scans()):
        assert finding.prediction_set[0] == finding.label
        assert set(finding.prediction_set) == {finding.label, "meningioma", "no_tumor"}
        ordered = [finding.probabilities[key] for key in finding.prediction_set]
        assert ordered == sorted(ordered, reverse=True)
    assert tiny_classifier.find(_scans(1))[0].prediction_set == ()


def test_a_finding_says_how_its_heat_map_was_made_and_other_ways_can_be_asked_for(tiny_classifier: Classifier) -> None:
    sure = _sure(tiny_classifier, "glioma")
    assert {f.method for f in sure.find(_scans())} == {"gradcam"}
    assert {f.method for f in sure.find(_scans(), explain=False)} == {""}
    (own,), (other,) = (sure.find(_scans(1), method=m) for m in (None, "hirescam"))
    assert other.method == other.record().method == "hirescam"
    assert own.probabilities == other.probabilities
    assert not np.array_equal(own.heatmap, other.heatmap)
    with pytest.raises(ConfigError, match="'attention'"):
        tiny_classifier.find(_scans(1), method="attention")


def test_the_cards_threshold_bounds_the_region(tiny_classifier: Classifier) -> None:
    areas = []
    for threshold in (0.9, 0.2):
        rule = HeatMapRule(method="gradcam", threshold=threshold)
        (finding,) = _sure(tiny_classifier, "glioma", heat_map=rule).find(_scans(1), target="glioma")
        if finding.region is not None:
            areas.append(finding.region.area)
    assert areas == sorted(areas)
    assert len(set(areas)) == 2


def test_evidence_for_every_class_is_that_of_asking_for_each(tiny_classifier: Classifier, phantom_scan: Scan) -> None:
    ((finding, evidence),) = tiny_classifier.explain_each([phantom_scan])
    assert set(evidence) == set(finding.probabilities) - {"no_tumor"}
    for key, (heatmap, region) in evidence.items():
        (asked,) = tiny_classifier.find([phantom_scan], target=key)
        assert np.allclose(heatmap, asked.heatmap, atol=1e-5)
        assert (region is None) == (asked.region is None)
    (own,) = tiny_classifier.find([phantom_scan])
    assert finding.probabilities == pytest.approx(own.probabilities)
    assert (finding.region, finding.warnings, finding.method) == (own.region, own.warnings, own.method)


def test_a_scan_an_array_or_a_path_may_be_asked_about(tiny_classifier: Classifier, tmp_path: Path) -> None:
    from PIL import Image

    pixels = (_scans(1)[0].pixels * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    scan = Scan.of(pixels)
    (expected,) = tiny_classifier.find([scan])
    for given in (scan, pixels, tmp_path / "a.png", str(tmp_path), [pixels]):
        (finding,) = tiny_classifier.find(given)
        assert finding.probabilities == expected.probabilities
    assert len(tiny_classifier.find(np.stack([pixels, pixels]))) == 2
    with pytest.raises(TypeError, match="a Scan, an array of pixels, a path, or several of these, not int"):
        tiny_classifier.find(7)  # type: ignore[arg-type]


def test_findings_hold_their_scans_but_not_one_after_another(tiny_classifier: Classifier) -> None:
    (scan,) = _scans(1)
    (held,) = tiny_classifier.find(scan)
    (passing,) = tiny_classifier.find_each(scan)
    assert held.scan is scan
    assert passing.scan is None


def test_it_is_shown_in_a_line(tiny_classifier: Classifier) -> None:
    assert repr(tiny_classifier) == "<Classifier 'tiny': glioma, meningioma, pituitary, no_tumor; Eager>"


def heat_of(study: StudyFinding) -> list[NDArray[np.float32] | None]:
    return [f.heatmap for s in study.slices if isinstance(f := s.finding, Finding)]


def test_a_study_is_answered_and_its_key_slices_are_explained(
    make_study: Callable[..., Path], bright: Classifier
) -> None:
    study = bright.find_study(make_study())

    assert (study.label, study.answer) == ("glioma", "present")
    assert study.key_slices == (2, 3, 4, 5, 6, 7)
    assert [i for i, heat in enumerate(heat_of(study)) if heat is not None] == [2, 3, 4, 5, 6, 7]
    assert not any(heat is not None for heat in heat_of(bright.find_study(make_study(), explain=False)))


def test_a_study_without_a_tumour_has_no_heat(make_study: Callable[..., Path], bright: Classifier) -> None:
    study = bright.find_study(make_study(lesion=False))

    assert study.answer == "absent"
    assert not any(heat is not None for heat in heat_of(study))


def test_a_scan_whose_file_says_another_modality_is_unknown_whatever_it_looks_like(tiny_classifier: Classifier) -> None:
    scan = _scans(1)[0]
    (finding,) = tiny_classifier.find([replace(scan, modality="CT")])
    assert finding.unknown
    assert (finding.label, finding.probabilities, finding.heatmap) == (None, {}, None)
    assert finding.reason == "its file says CT, and these weights know MR only"
    assert [f.unknown for f in tiny_classifier.find([scan, replace(scan, modality="MR")])] == [False, False]


def test_weights_for_any_modality_take_a_scan_of_each(tiny_classifier: Classifier) -> None:
    card = tiny_classifier.card.model_copy(update={"modality": find_modality("")})
    classifier = Classifier.of(tiny_classifier.network, card)
    assert not classifier.find([replace(_scans(1)[0], modality="CT")])[0].unknown


def test_stained_tissue_and_numbers_without_a_unit_are_unknown_with_the_reason(tiny_classifier: Classifier) -> None:
    tile = Scan(np.full((64, 64, 3), (0.6, 0.4, 0.7), np.float32), "tile.png")
    (finding,) = tiny_classifier.find([tile])
    assert finding.unknown
    assert finding.reason == "it is in colour, as stained tissue is, and these weights know brain MRI only"
    windows = Preprocessing(size=32, windows=((40, 80),))
    card = tiny_classifier.card.model_copy(update={"modality": find_modality("CT"), "preprocessing": windows})
    plain, deep = _scans(2)
    deep, plain = (replace(s, modality=None, unitless=u) for s, u in ((deep, True), (plain, False)))
    findings = Classifier.of(tiny_classifier.network, card).find([deep, plain])
    assert [f.unknown for f in findings] == [True, False]
    assert "Hounsfield" in findings[0].reason
