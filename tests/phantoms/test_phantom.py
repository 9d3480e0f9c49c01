from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.phantoms.conftest import inside
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.errors import ConfigError
from tumorlens.outline import Outline
from tumorlens.phantoms import phantom as module
from tumorlens.phantoms.phantom import Phantom, contact_sheet, make_patient, make_phantoms, make_study

TUMOURS = [c.key for c in BRAIN_TUMORS if not c.nothing]


def test_same_seed_same_phantoms_whatever_the_count(phantoms: list[Phantom]) -> None:
    again = list(make_phantoms(10, seed=3))
    assert len(again) == 10
    for a, b in zip(again, phantoms, strict=False):
        assert np.array_equal(a.scan.pixels, b.scan.pixels)
        assert (a.scan.source, a.label, a.position) == (b.scan.source, b.label, b.position)
        assert str(a.outline) == str(b.outline)


def test_another_seed_is_another_patient(phantoms: list[Phantom]) -> None:
    other = next(make_phantoms(1, seed=4))
    assert not np.array_equal(other.scan.pixels, phantoms[0].scan.pixels)
    assert other.scan.patient != phantoms[0].scan.patient


def test_workers_can_share_the_patients(phantoms: list[Phantom]) -> None:
    whole = {p.scan.source: p for p in phantoms}
    for part in make_patient(6, seed=3):
        assert np.array_equal(part.scan.pixels, whole[part.scan.source].scan.pixels)


def test_pixels_are_a_scan_and_say_they_are_synthetic(phantoms: list[Phantom]) -> None:
    for p in phantoms:
        pixels = p.scan.pixels
        assert pixels.dtype == np.float32
        assert pixels.shape == (128, 128)
        assert pixels.min() >= 0
        assert pixels.max() <= 1
        assert pixels.std() > 0.05
        assert p.scan.source.startswith("synthetic/")
        assert p.scan.modality == "MR"
        assert 1.5 < p.scan.spacing[0] < 2.1


def test_any_prefix_is_balanced(phantoms: list[Phantom]) -> None:
    for n in (3, 50, 111, 480):
        counts = Counter(p.label for p in phantoms[:n])
        assert max(counts.values()) - min(counts[k] for k in BRAIN_TUMORS.keys) <= 1


def test_labels_choose_the_classes() -> None:
    assert {p.label for p in make_phantoms(12, labels=["pituitary", "no_tumor"])} == {"pituitary", "no_tumor"}


def test_contrast_and_plane_do_not_give_the_class_away() -> None:
    # One slice a series: as many patients as the counts below need.
    phantoms = list(make_phantoms(480, size=64, seed=3, slices_per_series=1))
    for look in ("contrast", "plane"):
        tables = {k: Counter(getattr(p, look) for p in phantoms if p.label == k) for k in BRAIN_TUMORS.keys}
        for value in set().union(*tables.values()):
            shares = [t[value] / t.total() for t in tables.values()]
            assert min(shares) > 0
            assert max(shares) - min(shares) < 0.3
    brightness = [np.mean([p.scan.pixels.mean() for p in phantoms if p.label == k]) for k in BRAIN_TUMORS.keys]
    assert max(brightness) / min(brightness) < 1.25


def test_every_tumour_is_seen_and_outlined_and_nothing_else_is(phantoms: list[Phantom]) -> None:
    for p in phantoms:
        if p.label == "no_tumor":
            assert p.outline is None
        else:
            assert len(p.outline.points) <= 60
            assert inside(p).sum() * p.scan.spacing[0] ** 2 > 100, p.scan.source


def test_outlines_agree_with_what_was_painted(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = []
    original = module._outline

    def kept(share: NDArray[np.float32]) -> Outline:
        shares.append(share)
        return original(share)

    monkeypatch.setattr(module, "_outline", kept)
    for p, share in zip(list(make_phantoms(150, seed=5, labels=TUMOURS)), shares, strict=True):
        drawn, painted = inside(p), share > 0.5
        assert (drawn & painted).sum() / (drawn | painted).sum() >= 0.9, p.scan.source


def test_study_covers_the_head_around_its_lesion() -> None:
    study = make_study(1, label="meningioma", plane="coronal", contrast="t2", size=64, slices=24)
    positions = [p.position for p in study]
    assert len(study) == 24
    assert np.diff(positions) == pytest.approx(np.full(23, positions[1] - positions[0]))
    assert {(p.plane, p.contrast, p.scan.series) for p in study} == {("coronal", "t2", study[0].scan.series)}
    shown = [i for i, p in enumerate(study) if p.outline]
    assert shown == list(range(shown[0], shown[-1] + 1))
    assert 0 < len(shown) < 24
    assert all(p.label == ("meningioma" if p.outline else "no_tumor") for p in study)


def test_study_without_tumour() -> None:
    assert {p.label for p in make_study(label="no_tumor", size=48, slices=6)} == {"no_tumor"}


def test_contact_sheet_holds_every_phantom(phantoms: list[Phantom]) -> None:
    sheet = contact_sheet(phantoms[:5], columns=2, outlines=False)
    assert sheet.mode == "RGB"
    assert sheet.width >= 2 * 128
    assert sheet.height >= 3 * 128
    drawn = contact_sheet(phantoms[:5], columns=2)
    assert drawn.size == sheet.size
    assert np.any(np.asarray(drawn) != np.asarray(sheet))


@pytest.mark.parametrize(
    "call",
    [
        lambda: make_phantoms(-1),
        lambda: make_phantoms(1, size=8),
        lambda: make_phantoms(1, slices_per_series=0),
        lambda: make_phantoms(1, labels=["ependymoma"]),
        lambda: make_phantoms(1, labels=[]),
        lambda: make_study(plane="oblique"),
        lambda: make_study(contrast="ct"),
        lambda: make_study(slices=1),
        lambda: contact_sheet([]),
    ],
)
def test_settings_out_of_range_are_said(call: Callable[[], object]) -> None:
    with pytest.raises(ConfigError):
        call()
