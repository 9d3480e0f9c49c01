"""Pixels as pictures, and pictures as addresses."""

from base64 import b64decode
from io import BytesIO

import numpy as np
from PIL import Image

from tumorlens.picture import embedded, to_picture


def test_pixels_survive_the_way_into_an_address_and_back() -> None:
    for pixels in (np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4), np.zeros((2, 5, 3), np.float32)):
        head, _, data = embedded(to_picture(pixels)).partition(",")
        with Image.open(BytesIO(b64decode(data))) as picture:
            np.testing.assert_allclose(np.asarray(picture) / 255, pixels, atol=0.002)
        assert head == "data:image/png;base64"
