from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.results.conftest import kinds
from tests.studies import GRIDS, classic, save
from tumorlens.classifier import Classifier
from tumorlens.results.analysis import analyse
from tumorlens.results.make import KINDS, make_results


@pytest.mark.parametrize("with_window", [True, False])
def test_the_contour_lies_over_a_picture_that_can_be_seen(
    with_window: bool, tmp_path: Path, bright: Classifier
) -> None:
    ds = classic(GRIDS["axial"], GRIDS["axial"].position(3, 7))
    if not with_window:
        del ds.WindowCenter, ds.WindowWidth
    save(ds, tmp_path / "slice.dcm")
    results = make_results(analyse(tmp_path, bright), bright.card)
    (state,) = (r for r in results if KINDS[r.SOPClassUID] == "presentation-state")
    (window,) = state.SoftcopyVOILUTSequence

    assert 300 < window.WindowCenter < 600  # as in the header, or between robust percentiles
    assert 600 < window.WindowWidth <= 1000


def test_a_colour_picture_has_no_greyscale_state(tmp_path: Path, bright: Classifier) -> None:
    ds = classic(GRIDS["axial"], GRIDS["axial"].position(3, 7))
    grey = (ds.pixel_array / 4).clip(0, 255).astype(np.uint8)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit = 7
    ds.PixelData = np.stack([grey, grey, grey // 2], axis=2).tobytes()
    save(ds, tmp_path / "slice.dcm")
    results = make_results(analyse(tmp_path, bright), bright.card)

    assert "presentation-state" not in kinds(results)
    assert "segmentation" in kinds(results)
