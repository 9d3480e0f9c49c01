from __future__ import annotations

import numpy as np
import pytest

from tumorlens.phantoms.phantom import make_study
from tumorlens.phantoms.tissue import CONTRASTS


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_fluid_is_dark_in_t1_and_bright_in_t2(contrast: str) -> None:
    # The ventricles lie near the middle; eyes and marrow are elsewhere.
    study = make_study(3, label="no_tumor", contrast=contrast, slices=40)
    shown = min(study, key=lambda p: abs(p.position - 14)).scan.pixels[44:84, 54:74]
    low, middle, high = np.percentile(shown, [2, 50, 98])
    assert (high - middle > middle - low) == (contrast == "t2")
