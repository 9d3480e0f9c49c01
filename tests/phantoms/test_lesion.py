from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from tests.phantoms.conftest import inside
from tumorlens.phantoms.head import head
from tumorlens.phantoms.lesion import grow
from tumorlens.phantoms.phantom import Phantom, make_study
from tumorlens.phantoms.slice import _sample
from tumorlens.phantoms.tissue import white_matter


@pytest.mark.parametrize("label", ["meningioma", "pituitary"])
def test_contrast_agent_lights_tumours_up(label: str) -> None:
    brighter = []
    for number in range(12):
        study = make_study(number, label=label, contrast="t1c", slices=16, seed=2)
        shown = max((p for p in study if p.outline), key=lambda p: inside(p).sum())
        mask = inside(shown)
        band = ndimage.binary_dilation(mask, iterations=6) & ~ndimage.binary_dilation(mask, iterations=2)
        pixels = shown.scan.pixels
        brighter.append(np.median(pixels[mask]) - np.median(pixels[band]))
    assert np.median(brighter) > 0.15


def test_gliomas_grow_in_white_matter() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        lesion = grow("glioma", head(), rng)
        assert _sample(head(), white_matter(), lesion.centre[:, None])[0] > 0.4
        assert lesion.field(lesion.centre[:, None])[0] < -4


def test_meningiomas_sit_on_dura() -> None:
    rng = np.random.default_rng(0)
    index = np.indices(head().depth.shape).reshape(3, -1)
    places = (index * 3.0 + np.array([[-96], [-132], [-132]])).astype(np.float32)
    depth = head().depth.ravel()
    for _ in range(40):
        lesion = grow("meningioma", head(), rng)
        mass = (lesion.field(places) < 0) & (depth > -1)
        assert mass.sum() * 27 > 500  # mm³ inside the skull
        assert depth[mass].min() < 2 or abs(places[0, mass]).min() < 2  # the skull or the falx


def test_pituitary_tumours_sit_in_the_sella(phantoms: list[Phantom]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        lesion = grow("pituitary", head(), rng)
        assert abs(lesion.centre - [0, 3, -33]).max() < 7
        assert lesion.field(np.array([[0], [3], [-35]], np.float32))[0] < 0
    across = [p.outline.points[:, 0].mean() for p in phantoms if p.label == "pituitary" and p.plane != "sagittal"]
    assert np.abs(np.array(across) - 0.5).max() < 0.1  # on the midline of the picture
