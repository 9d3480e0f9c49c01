"""A region is written and read as it is."""

import numpy as np

from tumorlens.evidence import Evidence, Region
from tumorlens.explain.region import find_region


def test_a_region_reads_back_from_json() -> None:
    heat = np.zeros((20, 30), np.float32)
    heat[5:9, 10:16] = 1
    evidence = Evidence(heat, find_region(heat, (0.5, 0.25)))
    assert evidence.region is not None
    assert Region.model_validate_json(evidence.region.model_dump_json()) == evidence.region
    assert evidence.region.area_mm2 == evidence.region.area * 0.5 * 0.25


def test_a_scan_without_spacing_has_a_region_in_pixels_alone() -> None:
    region = Region(box=(0, 0, 2, 1), contour=((0.0, 0.0), (2.0, 0.0), (2.0, 1.0)), area=2)
    assert (region.box_mm, region.contour_mm, region.area_mm2) == (None, None, None)
