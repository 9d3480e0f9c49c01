import base64
import io

import numpy as np
from PIL import Image

from tests.evaluation.conftest import MakePredictions
from tumorlens.evaluation.pages.gallery import choose_cases, picture_uri


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_the_surest_mistakes_come_first(make_predictions: MakePredictions) -> None:
    p = make_predictions()
    cases = choose_cases(p, wrong=10, right=0)
    mistakes = p.predicted != p.truth
    assert mistakes[cases].all()
    assert p.confidence[cases].tolist() == sorted(p.confidence[mistakes], reverse=True)[:10]


def test_right_cases_are_spread_over_the_classes(make_predictions: MakePredictions) -> None:
    p = make_predictions(skill=3)
    cases = choose_cases(p, wrong=0, right=12)
    assert (p.predicted == p.truth)[cases].all()
    assert np.bincount(p.truth[cases]).tolist() == [3, 3, 3, 3]
    assert cases == choose_cases(p, wrong=0, right=12)
    assert cases != choose_cases(p, wrong=0, right=12, seed=1)


def test_no_more_cases_than_there_are(make_predictions: MakePredictions) -> None:
    p = make_predictions(20, skill=50)
    assert sorted(choose_cases(p)) == list(range(20))


def test_pictures_are_made_smaller_but_not_larger() -> None:
    assert decoded(picture_uri(Image.new("RGB", (500, 1000)))).size == (160, 320)
    assert decoded(picture_uri(Image.new("L", (64, 64)))).size == (64, 64)


def test_pictures_keep_their_colours() -> None:
    picture = np.full((64, 64, 3), (200, 40, 90), np.uint8)
    assert np.abs(np.asarray(decoded(picture_uri(Image.fromarray(picture))), int) - picture).max() < 6


def test_pictures_carry_nothing_else_along() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG", comment=b"Jane Doe")
    uri = picture_uri(Image.open(file))
    assert b"Jane" in file.getvalue()
    assert b"Jane" not in base64.b64decode(uri.partition(",")[2])
