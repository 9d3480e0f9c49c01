"""What is taken unless told otherwise."""

from tumorlens.card import find_weights, read_card
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.defaults import DEFAULT_WEIGHTS


def test_the_default_weights_come_with_the_package_and_know_the_built_in_classes() -> None:
    assert read_card(find_weights(DEFAULT_WEIGHTS)).classes == BRAIN_TUMORS
