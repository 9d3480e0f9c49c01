from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import dcmread

from tests.web.conftest import Page


def test_what_a_window_hides_can_be_fetched(page: Page, series: list[Path]) -> None:
    case = page.read({"slice.dcm": series[6].read_bytes()})
    (found,) = page.get(f"/cases/{case['id']}/slices").json()
    values = page.http.get(found["scan"].replace("scan.png", "values"))

    steps = np.frombuffer(values.content, "<u2").reshape(found["height"], found["width"])
    meaning = found["values"]
    numbers = meaning["low"] + steps / 65535 * (meaning["high"] - meaning["low"])
    assert np.abs(numbers - dcmread(series[6]).pixel_array).max() <= 0.5
    assert (meaning["black"], meaning["white"]) == (0, 1000)
