"""Where a header places its slices."""

import numpy as np

from tests.studies import GRIDS, classic
from tumorlens.formats.dicom.geometry import plane_of


def test_a_plane_places_the_first_pixel_at_its_position() -> None:
    ds = classic(GRIDS["oblique"], np.array([1.0, 2.0, 3.0]))
    plane = plane_of(ds, 0)

    assert plane is not None
    np.testing.assert_allclose(plane.to_patient([(0.5, 0.5)]), [[1, 2, 3]])
