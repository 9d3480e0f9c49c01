import csv
import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from scipy.stats import binomtest

from tests.evaluation.conftest import MakePredictions
from tumorlens.classes import BRAIN_TUMORS, ClassSet
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.data.manifest import Entry, Manifest, read_manifest
from tumorlens.errors import ChecksumMismatch, DataError
from tumorlens.evaluation.metrics import Estimate, score
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.site.figures import (
    calibration_lines,
    compare,
    compare_one,
    set_figures,
    steady_scores,
    subgroups,
    wilson,
)
from tumorlens.evaluation.site.validate import choose_failures, each_once, read_site, validate_site
from tumorlens.evaluation.site.validation import Validation
from tumorlens.listener import Listener
from tumorlens.model.weights import save_weights
from tumorlens.phantoms.phantom import make_phantoms
from tumorlens.scan import Scan

SECRETS = ("DOE^", "DOE_", "Jane", "MRN-4711", "19600229", "2026030")


def write_dicom(path: Path, scan: Scan, number: int, **elements: object) -> None:
    pixels = np.round(scan.pixels * 4095).astype(np.uint16)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.PatientName, ds.Modality, ds.InstanceNumber = "DOE^Jane", "MR", number
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 good slices of 8 patients, and what goes wrong in hospitals."""
    folder = tmp_path_factory.mktemp("data") / "our-hospital"
    for i, phantom in enumerate(make_phantoms(32, size=64, slices_per_series=4)):
        patient = i % 8
        write_dicom(
            folder / phantom.label / f"DOE_Jane_{patient}" / f"{i}.dcm",
            phantom.scan,
            i,
            PatientID=f"MRN-4711-{patient}",
            PatientSex="FM"[patient % 2],
            PatientBirthDate="19600229",
            StudyDate="20260303",
            Manufacturer="Acme",
            ManufacturerModelName="Halo",
            MagneticFieldStrength=2.89,
        )
    good = folder / "glioma" / "DOE_Jane_0" / "0.dcm"
    (folder / "glioma" / "DOE_Jane_0" / "again.dcm").write_bytes(good.read_bytes())
    (folder / "glioma" / "DOE_Jane_0" / "cut.dcm").write_bytes(good.read_bytes()[:-2000])
    (folder / "DOE^Jane").mkdir()
    (folder / "DOE^Jane" / "x.dcm").write_bytes(good.read_bytes())
    (folder / "loose.dcm").write_bytes(good.read_bytes())
    (folder / "readme.txt").write_text("no scan")
    return folder


@pytest.fixture(scope="module")
def weights(tiny_classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights whose card promises much."""
    promised = {"accuracy": {"value": 0.98, "low": 0.96, "high": 0.99}, "macro_auc": {"value": 0.99}}
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(tiny_classifier.network, tiny_classifier.card.model_copy(update={"scores": promised}), path)
    return path


@pytest.fixture(scope="module")
def validated(
    hospital: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Validation, Path, list[str]]:
    folder = tmp_path_factory.mktemp("out") / "validation"
    said: list[str] = []
    return validate_site(weights, [hospital], folder, listener=Listener(said.append)), folder, said


def test_the_flow_accounts_for_every_file(validated: tuple[Validation, Path, list[str]]) -> None:
    validation, _, _ = validated
    assert [(s.count, s.unit) for s in validation.flow] == [
        (36, "files"),
        (34, "files"),
        (33, "files"),
        (32, "slices"),
    ]
    excluded = [sum(s.excluded.values()) for s in validation.flow]
    assert excluded == [0, 2, 1, 1]
    assert validation.scores.n == 32
    assert validation.scores.groups == 8
    assert sum(n for n, _ in validation.counts.values()) == 32


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


def test_the_page_is_whole_and_needs_nothing_else(validated: tuple[Validation, Path, list[str]]) -> None:
    _, folder, _ = validated
    text = (folder / "validation.html").read_text(encoding="utf-8")

    class Page(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.stack: list[str] = []
            self.links: list[str | None] = []
            self.ids: set[str | None] = set()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.ids.add(dict(attrs).get("id"))
            self.links += [v for k, v in attrs if k in ("src", "href")]
            if tag not in ("meta", "link", "img", "br"):
                self.stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.stack.pop() == tag

    page = Page()
    page.feed(text)
    assert page.stack == []
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert "case 00" in text


def test_json_holds_what_was_found(validated: tuple[Validation, Path, list[str]]) -> None:
    validation, folder, _ = validated
    found = json.loads((folder / "validation.json").read_text(encoding="utf-8"))
    assert found["scores"]["n"] == 32
    assert found["card"]["sha256"] == validation.card.sha256
    assert found["unreadable"][0]["name"] == "file 0001"
    assert "truncated" in found["unreadable"][0]["reason"]


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


def test_a_flawless_class_gets_an_interval_by_its_patients(make_predictions: MakePredictions) -> None:
    truth = np.repeat([0, 1, 2, 3], 10)
    p = np.full((40, 4), 0.05)
    p[np.arange(40), truth] = 0.85
    p[:3] = [0.1, 0.7, 0.1, 0.1]  # three wrong gliomas
    predictions = Predictions(
        BRAIN_TUMORS, truth, p, [str(i) for i in range(40)], np.array([str(i // 2) for i in range(40)])
    )
    plain, steady = score(predictions), steady_scores(score(predictions), predictions)
    assert plain.classes[2].recall.low == 1
    assert steady.classes[2].recall == wilson(1.0, 5)  # ten slices, five patients
    assert steady.classes[2].specificity == wilson(1.0, 15)
    assert steady.classes[2].f1 == Estimate(value=1.0)
    assert steady.classes[0].recall == plain.classes[0].recall
    assert steady.detection.specificity == wilson(1.0, 5)


def recalibrated(rng: np.random.Generator, power: float, n: int = 3000) -> Predictions:
    logits = 1.5 * rng.normal(size=(n, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.array([rng.choice(3, p=row) for row in p])
    q = p**power / (p**power).sum(1, keepdims=True)
    return Predictions(ClassSet.of("abc"), truth, q, [str(i) for i in range(n)])


def test_calibration_slope_tells_too_extreme_probabilities() -> None:
    rng = np.random.default_rng(0)
    right, extreme = recalibrated(rng, 1), recalibrated(rng, 2)
    for line in calibration_lines(right):
        assert line.slope.low < 1 < line.slope.high
        assert line.intercept.low < 0 < line.intercept.high
    assert all(line.slope.high < 0.7 for line in calibration_lines(extreme))


def test_calibration_agrees_with_scikit_learn() -> None:
    from sklearn.linear_model import LogisticRegression

    predictions = recalibrated(np.random.default_rng(1), 0.5, n=400)
    p = predictions.probabilities[:, 0]
    oracle = LogisticRegression(C=1e9).fit(np.log(p / (1 - p))[:, None], predictions.truth == 0)
    assert calibration_lines(predictions)[0].slope.value == pytest.approx(oracle.coef_[0, 0], rel=1e-3)


def test_a_class_told_apart_without_error_has_no_slope() -> None:
    truth = np.repeat([0, 1], 50)
    p = np.where(truth[:, None] == [0, 1], 0.9, 0.1)
    lines = calibration_lines(Predictions(ClassSet.of("ab"), truth, p, [str(i) for i in range(100)]))
    assert [line.slope for line in lines] == [Estimate(value=None)] * 2


@pytest.mark.parametrize(
    ("promised", "verdict"),
    [
        ({"value": 0.99, "low": 0.98, "high": 0.995}, "below"),
        ({"value": 0.30, "low": 0.25, "high": 0.35}, "above"),
        ({"value": 0.99}, "below"),
    ],
)
def test_verdicts(make_predictions: MakePredictions, promised: dict[str, float], verdict: str) -> None:
    (found,) = compare(score(make_predictions(400)), {"accuracy": promised, "n": 12})
    assert found.verdict == verdict
    assert found.difference.low <= found.difference.value <= found.difference.high


def test_prediction_sets_are_held_against_the_truth() -> None:
    p = np.full((4, 4), 0.25)
    predictions = Predictions(BRAIN_TUMORS, np.array([0, 1, 2, 3]), p, list("abcd"))
    sets = [("glioma",), ("glioma", "meningioma"), (), ("glioma", "meningioma", "pituitary")]
    coverage, size = set_figures(sets, predictions)
    assert (coverage.value, size.value) == (0.5, 1.5)
    assert coverage.low < 0.5 < coverage.high
    found = compare_one("coverage", "Coverage", coverage, Estimate(value=0.9))
    assert found.words.startswith("Coverage is 50.0% here; the card promises 90.0%: ")
    assert set_figures([(), (), (), ()], predictions) == (None, None)


def test_within_chance_and_without_interval(make_predictions: MakePredictions) -> None:
    scores = score(make_predictions(400))
    near = {"value": scores.accuracy.value + 0.01, "low": scores.accuracy.low, "high": 0.99}
    (found,) = compare(scores, {"accuracy": near})
    assert found.verdict == "within"
    assert "−1.0 points is within what chance allows" in found.words
    (found,) = compare(score(make_predictions(400), resamples=0), {"accuracy": near})
    assert found.verdict == "unknown"
    assert compare(scores, {}) == []


def test_subgroups_warn_where_they_say_nothing(make_predictions: MakePredictions) -> None:
    predictions = make_predictions(300, groups=300, skill=4)
    worse = np.arange(300) < 100
    p = predictions.probabilities.copy()
    p[worse] = np.roll(p[worse], 1, axis=1)  # every call is off by one class
    predictions = Predictions(BRAIN_TUMORS, predictions.truth, p, predictions.names, predictions.groups)
    facts = [
        {"scanner": "OLD" if worse[i] else "NEW", **({"sex": "F"} if i < 5 else {}), "source": "abc"[t % 3]}
        for i, t in enumerate(predictions.truth)
    ]
    found = {(s.fact, s.value): s for s in subgroups(predictions, facts, score(predictions))}
    assert found["scanner", "OLD"].warning == "worse than the whole site"
    assert found["scanner", "NEW"].warning == ""
    assert found["scanner", "NEW"].accuracy.value > 0.8
    assert "too few (5)" in found["sex", "F"].warning
    assert found["sex", "not given"].n == 295
    assert found["source", "b"].warning == "only meningioma: cannot be compared"
    assert found["source", "b"].specificity.value is None
    assert ("age", "not given") not in found
