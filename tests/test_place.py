"""Where a slice belongs, written down."""

import numpy as np

from tumorlens.place import SlicePlace
from tumorlens.scan import Scan
from tumorlens.sequence import SeriesInfo


def scan(frame: int = 0) -> Scan:
    return Scan(
        np.zeros((4, 4), np.float32),
        "a.dcm",
        frame,
        patient="Doe^Jane",
        series="1.2.3",
        depth=4.5,
        orientation=(1, 0, 0, 0, 1, 0),
        study="1.2",
        instance="1.2.3.4",
        number=7,
        info=SeriesInfo(number=3, sequence="T2"),
    )


def test_it_holds_no_identifier_and_survives_json() -> None:
    place = SlicePlace.of(scan())
    text = place.model_dump_json()
    assert not any(secret in text for secret in ("1.2", "Doe"))
    assert SlicePlace.model_validate_json(text) == place
    assert (place.depth, place.number, place.info.number) == (4.5, (7, 0), 3)


def test_what_is_the_same_has_the_same_stand_in() -> None:
    first, again, other = SlicePlace.of(scan()), SlicePlace.of(scan()), SlicePlace.of(scan(1))
    assert first == again
    assert (first.study, first.series) == (other.study, other.series)
    assert first.instance != other.instance
    assert len({first.study, first.series, first.instance}) == 3


def test_a_picture_is_a_series_of_its_own_and_of_no_study() -> None:
    one, two = (SlicePlace.of(Scan(np.zeros((4, 4), np.float32), name)) for name in ("a.png", "b.png"))
    assert (one.study, one.instance) == ("", "")
    assert one.series != two.series
