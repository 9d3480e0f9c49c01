from __future__ import annotations

from pathlib import Path

import numpy as np

from tumorlens.evidence import Evidence
from tumorlens.scan import Scan, Values
from tumorlens.web.pictures import SlicePictures


def test_values_and_heat_come_back_as_they_were_written(tmp_path: Path) -> None:
    numbers = np.linspace(-50, 900, 64 * 48, dtype=np.float32).reshape(64, 48)
    scan = Scan(((numbers + 50) / 950).astype(np.float32), "a", values=Values(numbers, -50, 900))
    heat = np.zeros((64, 48), np.float32)
    heat[10:20, 5:15] = 1
    pictures = SlicePictures(tmp_path / "1")
    meaning = pictures.write(scan, {"glioma": Evidence(heat, None)})
    assert meaning is not None
    back = meaning.low + pictures.steps(64, 48) / 65535 * (meaning.high - meaning.low)
    assert np.abs(back - numbers).max() < 0.01
    assert meaning.tissue is not None
    least, middle, high, most = meaning.tissue
    assert 0 < least < middle < high < most <= 900
    assert (pictures.heat_steps("glioma", 64, 48) == np.round(heat * 255)).all()
    assert pictures.heat_steps("glioma", 32, 24).max() > 200


def test_a_picture_without_values_has_the_steps_of_its_grey(tmp_path: Path) -> None:
    pictures = SlicePictures(tmp_path / "1")
    assert pictures.write(Scan(np.full((8, 8), 0.5, np.float32), "a"), {}) is None
    assert (pictures.steps(8, 8) == 128 * 257).all()
