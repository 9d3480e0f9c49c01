import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.data.manifest import Entry, Manifest, read_manifest
from tumorlens.errors import ChecksumMismatch, DataError
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.site.figures import (
    wilson,
)
from tumorlens.evaluation.site.validate import choose_failures, each_once, read_site, validate_site
from tumorlens.evaluation.site.validation import Validation

SECRETS = ("DOE^", "DOE_", "Jane", "MRN-4711", "19600229", "2026030")


def test_the_weights_are_locked(
    validated: tuple[Validation, Path, list[str]], weights: Path, hospital: Path, tmp_path: Path
) -> None:
    validation, _, said = validated
    assert any(validation.card.sha256 in line for line in said)
    copy = tmp_path / "tiny.safetensors"
    copy.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    copy.with_suffix(".json").write_bytes(weights.with_suffix(".json").read_bytes())
    with pytest.raises(ChecksumMismatch):
        validate_site(copy, [hospital], tmp_path / "out")


def test_figures_are_those_of_the_classifier(
    validated: tuple[Validation, Path, list[str]], weights: Path, hospital: Path
) -> None:
    validation, _, _ = validated
    classifier = Classifier.load(weights)
    files = [p for key in BRAIN_TUMORS.keys for p in sorted((hospital / key).rglob("[0-9]*.dcm"))]
    from tumorlens.formats import read_scans

    found = classifier.find([read_scans(p)[0] for p in files], explain=False)
    right = np.mean([f.label == p.relative_to(hospital).parts[0] for f, p in zip(found, files, strict=True)])
    assert validation.scores.accuracy.value == pytest.approx(right)


def test_only_the_key_leads_back_to_a_patient(validated: tuple[Validation, Path, list[str]]) -> None:
    _, folder, _ = validated
    names = {p.name for p in folder.iterdir()}
    assert {"validation.html", "validation.json", "claim.md", "tripod_ai.md", "model_card.md", "key.csv"} <= names
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "key.csv" and path.suffix != ".png":
            text = path.read_text(encoding="utf-8")
            assert [s for s in SECRETS if s in text] == [], path.name
            assert "our-hospital/" not in text
    with (folder / "key.csv").open(newline="") as file:
        key = {row["case"]: row["file"] for row in csv.DictReader(file)}
    assert len(key) == 33
    assert key["file 0001"].endswith("cut.dcm")
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(key[row["path"]].startswith(row["label"]) for row in rows)


def test_facts_become_subgroups(validated: tuple[Validation, Path, list[str]]) -> None:
    validation, _, _ = validated
    found = {(s.fact, s.value): s for s in validation.subgroups}
    assert set(found) == {
        ("sex", "F"),
        ("sex", "M"),
        ("age", "60-74"),
        ("scanner", "ACME HALO"),
        ("field_strength", "3 T"),
    }
    assert (found["sex", "F"].n, found["sex", "F"].groups) == (16, 4)
    assert "too few (4)" in found["sex", "F"].warning


def test_a_broken_promise_is_said_in_words(validated: tuple[Validation, Path, list[str]]) -> None:
    validation, folder, _ = validated
    accuracy, auc = validation.comparisons
    assert (accuracy.key, accuracy.verdict) == ("accuracy", "below")
    assert "the card promises 98.0%: below it by" in accuracy.words
    assert "promises 0.990" in auc.words
    assert (validation.coverage, validation.unknown) == (None, None)
    assert accuracy.words in (folder / "validation.html").read_text(encoding="utf-8")


def test_a_table_may_carry_the_facts(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    text = (
        "path,label,patient,sex,age,scanner,field_strength\na.png,glioma,7,female,93,ACME X,3 T\nb.png,no,8,,40-59,,\n"
    )
    (tmp_path / "manifest.csv").write_text(text)
    first, second = read_manifest(tmp_path).entries
    assert first.facts == {"sex": "F", "age": "75+", "scanner": "ACME X", "field_strength": "3 T"}
    assert second.facts == {"age": "40-59"}
    (tmp_path / "manifest.csv").write_text("path,label,age\na.png,glioma,29.02.1960\n")
    with pytest.raises(DataError, match="row 2: the age is neither") as caught:
        read_manifest(tmp_path)
    assert "1960" not in str(caught.value)


def test_a_site_without_a_known_class_is_refused(tmp_path: Path) -> None:
    for label in ("knee", "hip"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.png").write_bytes(b"x")
    with pytest.raises(DataError, match="glioma"):
        read_site([tmp_path], BRAIN_TUMORS)


def slices_of(
    images: Sequence[int], labels: Sequence[int], groups: Sequence[str] | None = None, kind: str = "group"
) -> Slices:
    more: list[dict[str, Any]] = [{} for _ in labels] if groups is None else [{kind: group} for group in groups]
    entries = tuple(
        Entry(path=None, name=str(i), label=BRAIN_TUMORS.keys[labels[i]], **columns) for i, columns in enumerate(more)
    )
    array = np.array(images, np.float32)[:, None, None, None] * np.ones((1, 1, 4, 4), np.float32)
    return Slices(array, np.array(labels), Manifest(entries, BRAIN_TUMORS))


def test_a_picture_counts_once_and_one_under_two_classes_not_at_all() -> None:
    kept, excluded = each_once(slices_of([1, 2, 1, 3, 4, 4], [0, 1, 0, 2, 1, 2]))
    assert kept.tolist() == [0, 1, 3]
    assert excluded == {"the same picture as another": 1, "the same picture under two classes": 2}


def test_of_a_duplicate_group_one_counts_but_of_a_patient_all() -> None:
    images, labels, groups = [1, 2, 3, 4], [0, 0, 1, 1], ["a", "a", "b", "c"]
    assert each_once(slices_of(images, labels, groups, "duplicate_group"))[0].tolist() == [0, 2, 3]
    assert each_once(slices_of(images, labels, groups))[0].tolist() == [0, 1, 2, 3]


def test_what_trained_the_network_is_left_out_with_its_copies() -> None:
    slices = replace(
        slices_of([1, 2, 3, 4], [0, 0, 1, 1], ["a", "a", "b", "c"], "duplicate_group"),
        fingerprints=np.array([11, 12, 13, 14], np.uint64),
    )
    kept, excluded = each_once(slices, np.array([12, 14, 99], np.uint64))
    assert kept.tolist() == [2]
    assert excluded == {"of a duplicate group that is in already": 1, "one that the network was trained on": 2}
    with pytest.raises(DataError, match="every picture trained these weights"):
        each_once(slices, np.array([12, 13, 14], np.uint64))


def test_failures_by_kind_the_surest_first() -> None:
    p = np.full((5, 4), 0.02)
    called, sure = [3, 3, 1, 0, 0], [0.6, 0.9, 0.7, 0.8, 0.94]
    p[np.arange(5), called] = sure
    p /= p.sum(1, keepdims=True)
    found = choose_failures(Predictions(BRAIN_TUMORS, np.array([0, 1, 0, 3, 0]), p, list("abcde")))
    assert found == {"missed": [1, 0], "mixed up": [2], "false alarms": [3]}


@pytest.mark.parametrize(("k", "n"), [(0, 7), (7, 7), (3, 10), (95, 100)])
def test_wilson(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(method="wilson")
    found = wilson(k / n, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)
