"""Codes that are called verified are those of the terminology; the others are not used by default."""

from pathlib import Path

from pydicom.sr._concepts_dict import concepts

from tumorlens.classes import BRAIN_TUMORS, ClassSet, Code, ScanClass
from tumorlens.results.codes import CANDIDATES, SCHEME, TERMS, code_of, probability_of, sought


def test_verified_codes_are_in_the_standard_with_their_meaning() -> None:
    meanings: dict[tuple[str, str], set[str]] = {}
    standard: dict[str, dict[str, dict[str, tuple[str, object]]]] = concepts  # type: ignore[assignment]
    for scheme, words in standard.items():
        for values in words.values():
            for value, (meaning, _) in values.items():
                meanings.setdefault((scheme, value), set()).add(meaning)

    for term in TERMS.values():
        if term.verified and term.code.scheme != SCHEME:
            assert term.code.meaning in meanings[term.code.scheme, term.code.value]


def test_a_code_that_was_not_verified_says_why_and_is_not_used() -> None:
    for key, term in CANDIDATES.items():
        scan_class = BRAIN_TUMORS[BRAIN_TUMORS.keys.index(key)]
        assert not term.verified
        assert term.reason
        assert code_of(scan_class).scheme == SCHEME
        assert code_of(scan_class, candidates=True) == term.code


def test_a_card_s_own_code_goes_before_all() -> None:
    code = Code(scheme="SCT", value="1", meaning="whatever the site says")

    assert code_of(ScanClass(key="glioma", name="glioma", codes=(code,))) == code


def test_any_class_has_codes_that_fit_dicom() -> None:
    classes = [ScanClass(key=f"a very long name of class {i}", name="n" * 90) for i in (1, 2)]
    codes = [f(c) for c in (*BRAIN_TUMORS, *classes) for f in (code_of, probability_of)]

    assert all(len(c.value) <= 16 and len(c.meaning) <= 64 for c in codes)
    assert len({c.value for c in codes}) == len(codes)


def test_the_documentation_has_the_tables_and_marks_what_is_not_verified() -> None:
    page = (Path(__file__).parents[2] / "docs" / "dicom-results.md").read_text(encoding="utf-8")
    codes = [*(t.code for t in TERMS.values()), *(f(c) for c in BRAIN_TUMORS for f in (code_of, probability_of))]
    rows = [(f"{code.scheme} {code.value}", code.meaning) for code in codes]
    candidates = page.partition("**not verified**")[2]

    assert [row for row in rows if f"| {' | '.join(row)} |\n" not in page] == []
    for term in CANDIDATES.values():
        assert f"| {term.code.scheme} {term.code.value} | {term.code.meaning} | {term.reason} |" in candidates
    assert all(term.source.startswith(("TumorLens", "PS3.16")) for term in TERMS.values())


def test_what_is_sought_follows_classes_and_modality() -> None:
    def of(*keys: str, modality: str = "CT") -> tuple[str, str, str]:
        classes = ClassSet(classes=tuple(ScanClass(key=k, name=k, nothing=k == "normal") for k in keys))
        what = sought(classes, modality)
        return what.word, what.finding.meaning, what.examination.meaning

    assert sought(BRAIN_TUMORS, "MR").finding == TERMS["neoplasm"].code
    assert sought(BRAIN_TUMORS, "MR").body_part == "BRAIN"
    assert of("haemorrhage", "normal") == ("haemorrhage", "Hemorrhage", "Head CT")
    assert of("cyst", "normal", modality="MR") == ("cyst", "cyst", "Brain MRI")
    assert of("cyst", "stroke", "normal", modality="XA") == (
        "finding",
        TERMS["finding"].code.meaning,
        "Imaging examination",
    )
