"""Classes: their spellings, their order, and other sets than the built-in one."""

import pytest
from pydantic import ValidationError

from tumorlens.classes import BRAIN_TUMORS, ClassSet, Code, ScanClass


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("glioma", "glioma"),
        ("Glioma_Tumor", "glioma"),
        ("GLIOMAS", "glioma"),
        ("meningioma tumour", "meningioma"),
        ("pituitary", "pituitary"),
        ("pituitary_tumor", "pituitary"),
        ("Pituitary-Adenoma", "pituitary"),
        ("notumor", "no_tumor"),
        ("no_tumor", "no_tumor"),
        ("No-Tumor", "no_tumor"),
        ("no tumour", "no_tumor"),
        ("no", "no_tumor"),
        ("healthy", "no_tumor"),
    ],
)
def test_the_spellings_of_public_sets_are_known(spelling: str, key: str) -> None:
    index = BRAIN_TUMORS.match(spelling)
    assert index is not None
    assert BRAIN_TUMORS[index].key == key


@pytest.mark.parametrize("spelling", ["", "tumor", "yes", "glioblastoma", "images"])
def test_other_spellings_match_nothing(spelling: str) -> None:
    assert BRAIN_TUMORS.match(spelling) is None


def test_the_papers_four_classes_stand_in_their_order_and_one_means_nothing_found() -> None:
    assert BRAIN_TUMORS.keys == ("glioma", "meningioma", "pituitary", "no_tumor")
    assert [c.key for c in BRAIN_TUMORS if c.nothing] == ["no_tumor"]
    assert len(BRAIN_TUMORS) == 4


def test_two_classes_that_are_spelled_alike_are_refused() -> None:
    with pytest.raises(ValidationError, match="share a key or an alias"):
        ClassSet(classes=(ScanClass(key="no_tumor", name="a"), ScanClass(key="b", name="b", aliases=("No-Tumor",))))
    with pytest.raises(ValidationError, match="share a key or an alias"):
        ClassSet.of(["big cat", "big_cat"])


def test_a_class_may_spell_itself_twice() -> None:
    both = ClassSet(classes=(ScanClass(key="no_tumor", name="a", aliases=("notumor",)), ScanClass(key="b", name="b")))
    assert both.match("No Tumor") == 0


def test_one_class_is_no_set() -> None:
    with pytest.raises(ValidationError):
        ClassSet.of(["glioma", "glioma"])


def test_a_set_of_other_classes_is_sorted_and_named() -> None:
    animals = ClassSet.of(["dog", "big_cat", "dog"])
    assert animals.keys == ("big_cat", "dog")
    assert animals[0].name == "big cat"
    assert animals.match("BIG-CAT") == 0


def test_a_set_survives_json() -> None:
    code = Code(scheme="SCT", value="393564001", meaning="Glioma")
    original = ClassSet(
        classes=(
            ScanClass(key="glioma", name="glioma", codes=(code,)),
            ScanClass(key="b", name="b", nothing=True),
        )
    )
    assert ClassSet.model_validate_json(original.model_dump_json()) == original
