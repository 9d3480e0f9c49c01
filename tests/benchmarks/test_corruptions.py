import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
    measure_corruptions,
    write_corruptions,
)
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError, DataError
from tumorlens.phantoms.phantom import make_phantoms
from tumorlens.scan import Scan


@pytest.fixture(scope="module")
def scan() -> Scan:
    (phantom,) = make_phantoms(1, size=160, labels=["meningioma"])
    return phantom.scan


@pytest.fixture(scope="module")
def labelled() -> list[tuple[Scan, int, str]]:
    phantoms = list(make_phantoms(8, size=64))
    return [(p.scan, BRAIN_TUMORS.keys.index(p.label), str(p.scan.patient)) for p in phantoms]


def distance(one: Scan, other: Scan) -> float:
    return float(np.sqrt(np.mean((one.pixels - other.pixels) ** 2)))


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_each_severity_is_worse_than_the_one_before(scan: Scan, kind: str) -> None:
    changed = [corrupt(scan, kind, severity, seed=5) for severity in SEVERITIES]
    assert all(c.pixels.shape == scan.pixels.shape and c.pixels.dtype == np.float32 for c in changed)
    assert all(c.pixels.min() >= 0 and c.pixels.max() <= 1 for c in changed)
    distances = [distance(scan, c) for c in changed]
    assert distances == sorted(distances)
    assert 0 < distances[0] < 0.1
    assert distances[-1] > 2 * distances[0]


@pytest.mark.parametrize("kind", sorted(set(CORRUPTIONS) - {"rotation"}))
def test_at_the_worst_it_is_still_the_same_head(scan: Scan, kind: str) -> None:
    worst = corrupt(scan, kind, 5)
    assert np.corrcoef(scan.pixels.ravel(), worst.pixels.ravel())[0, 1] > 0.6


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_the_seed_settles_it(scan: Scan, kind: str) -> None:
    assert np.array_equal(corrupt(scan, kind, 3, seed=1).pixels, corrupt(scan, kind, 3, seed=1).pixels)


def test_another_seed_makes_other_noise(scan: Scan) -> None:
    assert not np.array_equal(corrupt(scan, "noise", 3, seed=1).pixels, corrupt(scan, "noise", 3, seed=2).pixels)


def test_everything_else_about_the_scan_stays(scan: Scan) -> None:
    changed = corrupt(scan, "blur", 2)
    assert (changed.source, changed.spacing, changed.patient) == (scan.source, scan.spacing, scan.patient)


def test_colour_keeps_its_hue(scan: Scan) -> None:
    colour = Scan(np.stack([scan.pixels, 0.5 * scan.pixels, 0 * scan.pixels], -1).astype(np.float32), "x.png")
    turned = corrupt(colour, "rotation", 4, seed=3).pixels
    np.testing.assert_allclose(turned[..., 1], 0.5 * turned[..., 0], atol=1e-5)
    assert turned[..., 2].max() == 0


def test_noise_is_as_strong_on_a_finer_grid_once_it_is_scaled_down() -> None:
    def left(side: int) -> float:
        flat = Scan(np.full((side, side), 0.5, np.float32), "x")
        noisy = corrupt(flat, "noise", 3).pixels
        return float(noisy.reshape(64, side // 64, 64, side // 64).mean((1, 3)).std())

    assert left(512) == pytest.approx(left(256), rel=0.15)


def test_a_scan_smaller_than_the_resolution_stays_as_it_is() -> None:
    small = Scan(np.random.default_rng(0).random((96, 96)).astype(np.float32), "x")
    assert np.array_equal(corrupt(small, "low resolution", 1).pixels, small.pixels)


@pytest.mark.parametrize(("kind", "severity"), [("rain", 1), ("noise", 0), ("noise", 6)])
def test_unknown_ones_are_refused(scan: Scan, kind: str, severity: int) -> None:
    with pytest.raises(ConfigError, match="noise, blur"):
        corrupt(scan, kind, severity)


def test_the_clean_row_is_the_classifiers_own_answer(
    tiny_classifier: Classifier, labelled: list[tuple[Scan, int, str]]
) -> None:
    found = measure_corruptions(tiny_classifier, iter(labelled), kinds=["noise", "gamma"])
    findings = tiny_classifier.find([s for s, _, _ in labelled], explain=False)
    right = [f.label == BRAIN_TUMORS.keys[label] for f, (_, label, _) in zip(findings, labelled, strict=True)]
    assert found.n == 8
    assert found.clean.accuracy.value == pytest.approx(np.mean(right))
    assert found.clean.confidence == pytest.approx(np.mean([f.confidence for f in findings]))
    assert {kind: [c.severity for c in conditions] for kind, conditions in found.kinds.items()} == {
        "noise": [1, 2, 3, 4, 5],
        "gamma": [1, 2, 3, 4, 5],
    }


def test_what_is_written(tiny_classifier: Classifier, labelled: list[tuple[Scan, int, str]], tmp_path: Path) -> None:
    found = measure_corruptions(tiny_classifier, labelled, kinds=["blur"], data="eight phantoms")
    page = write_corruptions(tmp_path / "out", found)
    text = page.read_text(encoding="utf-8")
    assert "eight phantoms" in text
    assert "://" not in text
    assert json.loads((tmp_path / "out" / "corruptions.json").read_text())["n"] == 8
    assert (tmp_path / "out" / "corruptions.png").stat().st_size > 10_000
    table = (tmp_path / "out" / "corruptions.md").read_text()
    rows = [line for line in table.splitlines() if line.startswith("| blur")]
    assert len(rows) == 3
    assert all(len(row.split("|")) == 10 for row in rows)


def test_no_scans(tiny_classifier: Classifier) -> None:
    with pytest.raises(DataError, match="no scans"):
        measure_corruptions(tiny_classifier, [])
