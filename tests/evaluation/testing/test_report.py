import itertools
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.evaluation.conftest import MakePredictions
from tumorlens.card import Calibration
from tumorlens.errors import DataError, MissingExtra
from tumorlens.evaluation.calibration import CalibrationScores, Scaling, score_calibration
from tumorlens.evaluation.metrics import Scores, score
from tumorlens.evaluation.pages import gallery, plots
from tumorlens.evaluation.pages.gallery import GalleryCase, choose_cases
from tumorlens.evaluation.pages.page import decimal, interval, per_cent, script_hash
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.testing.report import ReportContext, write_report

CONTEXT = ReportContext(
    title="A made-up network",
    data="Made-up scans.",
    synthetic=True,
    model="CNN-LSTM",
    date="1 May 2031",
    version="1.2.3",
    weights="weights-name",
    weights_sha256="ab" * 32,
    split={"training": 4000, "validation": 700, "test": 300},
    grouped_by="patient",
    split_seed=42,
    cautions=["Thirty-eight scans have a twin in the training part."],
    command="tumorlens evaluate --seed 42",
    training={"epochs": 30, "seconds per epoch": 12.5},
    heat_map="Grad-CAM at the last convolution.",
)

HISTORY = [{"epoch": e, "train_loss": 1 / (e + 1), "val_loss": 1.5 / (e + 1), "val_accuracy": 0.9} for e in range(3)]

VOID = {"meta", "link", "img", "br", "source"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and gathers what is on the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and "script" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def case(truth: str, predicted: str, confidence: float, name: str = "scan.png", **more: Any) -> GalleryCase:
    rest = (1 - confidence) / 3
    probabilities = dict.fromkeys(("glioma", "meningioma", "pituitary", "no_tumor"), rest) | {predicted: confidence}
    picture = Image.new("RGB", (64, 64))
    more = {"overlay": picture} | more
    return GalleryCase(name, truth, predicted, probabilities, picture, **more)


@pytest.fixture
def predictions(make_predictions: MakePredictions) -> Predictions:
    return make_predictions(300, groups=60)


@pytest.fixture
def scores(predictions: Predictions) -> Scores:
    return score(predictions, resamples=50)


def test_all_files_are_written(tmp_path: Path, predictions: Predictions, scores: Scores) -> None:
    folder = tmp_path / "new" / "report"
    path = write_report(folder, scores=scores, predictions=predictions, context=CONTEXT, history=HISTORY)
    assert path == folder / "report.html"
    assert {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()} == {
        "report.html",
        "metrics.json",
        "predictions.csv",
        "classification_report.txt",
        *(f"plots/{name}.png" for name in ("confusion_matrix", "per_class", "roc", "reliability", "loss")),
    }
    assert Scores.model_validate_json((folder / "metrics.json").read_text()) == scores
    assert Predictions.read_csv(folder / "predictions.csv", predictions.classes).names == predictions.names
    assert "macro avg" in (folder / "classification_report.txt").read_text()


def test_the_page_tells_every_headline_figure_with_its_interval(
    tmp_path: Path, predictions: Predictions, scores: Scores
) -> None:
    text = Page(write(tmp_path, scores, predictions)).text
    shares = [scores.accuracy, scores.macro_f1, scores.balanced_accuracy, scores.detection.sensitivity]
    for c in scores.classes:
        shares += [c.precision, c.recall, c.specificity, c.f1]
    for estimate in shares:
        assert per_cent(estimate.value) in text
        assert interval(estimate) in text
    for estimate in (scores.macro_auc, scores.micro_auc, scores.mcc, *(c.auc for c in scores.classes)):
        assert decimal(estimate.value) in text
        assert interval(estimate, decimal) in text
    assert "resampled by patient" in text
    assert "Uncalibrated" in text
    assert decimal(scores.brier.value) in text


def test_the_page_tells_what_it_was_given(tmp_path: Path, predictions: Predictions, scores: Scores) -> None:
    text = Page(write(tmp_path, scores, predictions, history=HISTORY)).text
    for told in (
        *("A made-up network", "Made-up scans.", "Synthetic data", "Research use only", "CNN-LSTM", "1 May 2031"),
        *("weights-name", "ab" * 32, "training 4,000", "seed 42", "Thirty-eight scans", "tumorlens evaluate --seed 42"),
        *("seconds per epoch 12.5", "Grad-CAM at the last convolution.", "1.2.3"),
    ):
        assert told in text


def test_calibration_is_told_before_and_after_with_what_the_sets_keep(
    tmp_path: Path, predictions: Predictions, scores: Scores
) -> None:
    keys = predictions.classes.keys
    fitted = Calibration(
        scans=dict.fromkeys(keys, 50), coverage=0.9, set_thresholds=dict.fromkeys(keys, 0.2), accepted=0.95
    )
    unknown = np.arange(len(predictions)) % 10 == 0
    calibrated = scores.model_copy(update={"calibrated": True})
    found = score_calibration(predictions, calibrated, Scaling(1.7), fitted, unknown)
    page = Page(write(tmp_path, calibrated, predictions, calibration=found))
    for s in (found.sets, *found.classes):
        assert interval(s.coverage) in page.text
        assert f"{s.mean_size:.2f}" in page.text
    for told in ("1.70", decimal(found.before.log_loss.value), "200 validation scans", "90.0% of the test scans"):
        assert told in page.text
    assert "Uncalibrated" not in page.text
    assert all(attrs["scope"] in ("row", "col") for tag, attrs in page.tags if tag == "th")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert CalibrationScores.model_validate(metrics["calibration"]) == found
    assert (tmp_path / "plots" / "reliability_before.png").exists()
    without_gate = score_calibration(predictions, calibrated, Scaling(1.7), fitted)
    assert "The gate accepts" not in Page(write(tmp_path, calibrated, predictions, calibration=without_gate)).text


def test_synthetic_is_only_said_of_synthetic_data(tmp_path: Path, predictions: Predictions, scores: Scores) -> None:
    real = ReportContext(title="T", data="Scans.", synthetic=False, model="M", date="today", version="1")
    assert "synthetic" not in Page(write(tmp_path, scores, predictions, context=real)).text.lower()


def test_notes_on_the_scores_are_among_the_cautions(tmp_path: Path, make_predictions: MakePredictions) -> None:
    p = make_predictions(truth=np.arange(300) % 3)
    s = score(p, resamples=20)
    text = Page(write(tmp_path, s, p)).text
    assert s.notes
    for note in s.notes:
        assert note in text


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path, predictions: Predictions, scores: Scores) -> None:
    html = write(tmp_path, scores, predictions, gallery=[case("glioma", "glioma", 0.9)], history=HISTORY)
    assert not re.search(r"https?://", html)
    assert not re.search(r"@import|url\(", html)
    page = Page(html)
    scripts = re.findall(r"<script>(.*?)</script>", html, re.S)
    assert len(scripts) == 1
    loaded = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "srcset", "href")]
    assert len(loaded) > 10
    assert all(value.startswith(("data:", "#")) for value in loaded)
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert f"script-src '{script_hash(scripts[0])}'" in policy  # no other script runs


def test_the_page_is_accessible(tmp_path: Path, predictions: Predictions, scores: Scores) -> None:
    gallery = [case("glioma", "meningioma", 0.9), case("glioma", "glioma", 0.9)]
    page = Page(write(tmp_path, scores, predictions, gallery=gallery, history=HISTORY))
    names = [tag for tag, _ in page.tags]
    assert names.count("h1") == names.count("main") == names.count("header") == names.count("footer") == 1
    assert dict(page.tags)["html"]["lang"] == "en"
    assert all(attrs["alt"] for tag, attrs in page.tags if tag == "img")
    assert all(attrs["scope"] in ("row", "col") for tag, attrs in page.tags if tag == "th")
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [attrs["href"][1:] for tag, attrs in page.tags if tag == "a"]
    assert set(targets) <= set(ids)
    levels = [int(name[1]) for name in names if re.fullmatch("h[1-6]", name)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_hostile_text_is_shown_and_not_run(tmp_path: Path, make_predictions: MakePredictions) -> None:
    evil = "<script>alert('x')</script>"
    p = make_predictions(100)
    p = Predictions(p.classes, p.truth, p.probabilities, [evil, *p.names[1:]], p.groups)
    texts: dict[str, Any] = dict.fromkeys(
        ("title", "data", "model", "date", "version", "weights", "command", "heat_map"), evil
    )
    context = ReportContext(
        **texts,
        synthetic=False,
        cautions=[evil],
        training={evil: evil},
        split={evil: 1},
    )
    gallery = [case("glioma", "meningioma", 0.9, name=f'"><img onerror=x>{evil}', note=evil)]
    html = write(tmp_path, score(p, resamples=10), p, context=context, gallery=gallery)
    page = Page(html)
    assert [tag for tag, _ in page.tags].count("script") == 1  # ours; the policy names it by its hash
    assert not any("onerror" in attrs for _, attrs in page.tags)
    assert page.text.count(evil) >= 10


def test_a_file_name_that_is_no_unicode_does_not_cost_the_report(
    tmp_path: Path, make_predictions: MakePredictions
) -> None:
    p = make_predictions(100)
    p = Predictions(p.classes, p.truth, p.probabilities, ["\udcff.png", *p.names[1:]], p.groups)
    html = write(tmp_path, score(p, resamples=0), p, gallery=[case("glioma", "glioma", 0.9, name="\udcff.png")])
    assert r"\udcff.png" in html


def test_wrong_cases_come_first_and_the_surest_before_others(
    tmp_path: Path, predictions: Predictions, scores: Scores
) -> None:
    gallery = [
        case("glioma", "glioma", 0.99, name="right.png"),
        case("glioma", "meningioma", 0.6, name="unsure.png"),
        case("no_tumor", "meningioma", 0.95, name="sure.png"),
    ]
    text = Page(write(tmp_path, scores, predictions, gallery=gallery)).text
    assert text.index(" sure.png") < text.index("unsure.png") < text.index("right.png")
    assert "called meningioma true class: no tumour" in text


def test_no_positive_evidence_is_said_and_not_drawn(tmp_path: Path, predictions: Predictions, scores: Scores) -> None:
    gallery = [case("glioma", "glioma", 0.9, overlay=None, note="no positive evidence")]
    page = Page(write(tmp_path, scores, predictions, gallery=gallery))
    assert "no positive evidence" in page.text
    jpegs = [attrs for tag, attrs in page.tags if tag == "img" and "image/jpeg" in attrs["src"]]
    assert len(jpegs) == 1


def test_the_page_stays_small(tmp_path: Path, make_predictions: MakePredictions) -> None:
    p = make_predictions(400, skill=1)
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(256, size=(512, 512), dtype=np.uint8))
    scan = noise.filter(ImageFilter.GaussianBlur(1.5))  # detail everywhere, more than in a scan with its dark rim
    keys = p.classes.keys
    gallery = [
        GalleryCase(
            p.names[i],
            keys[p.truth[i]],
            keys[p.predicted[i]],
            dict(zip(keys, p.probabilities[i], strict=True)),
            scan,
            scan,
        )
        for i in choose_cases(p, wrong=30, right=30)
    ]
    path = write_report(tmp_path, scores=score(p, resamples=10), predictions=p, context=CONTEXT, gallery=gallery)
    assert path.read_text().count("<article") == 48
    assert path.stat().st_size < 5_000_000


@pytest.mark.parametrize("culprit", ["write_csv", "save_png", "picture_uri"])
def test_a_report_that_fails_half_way_is_absent(
    tmp_path: Path, predictions: Predictions, scores: Scores, monkeypatch: pytest.MonkeyPatch, culprit: str
) -> None:
    write(tmp_path, scores, predictions)  # an earlier, whole one

    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no space left on device")

    home = {"write_csv": Predictions, "save_png": plots, "picture_uri": gallery}[culprit]
    monkeypatch.setattr(home, culprit, fail)
    with pytest.raises(OSError, match="no space"):
        write(tmp_path, scores, predictions, gallery=[case("glioma", "glioma", 0.9)])
    assert not (tmp_path / "report.html").exists()
    assert not (tmp_path / "metrics.json").exists()


def test_a_file_that_fails_half_way_leaves_nothing(
    tmp_path: Path, predictions: Predictions, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p.csv").write_text("earlier")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left on device")))
    with pytest.raises(OSError, match="no space"):
        predictions.write_csv(tmp_path / "p.csv")
    assert [f.name for f in tmp_path.iterdir()] == ["p.csv"]
    assert (tmp_path / "p.csv").read_text() == "earlier"


def test_scores_of_other_predictions_are_refused(
    tmp_path: Path, make_predictions: MakePredictions, scores: Scores
) -> None:
    with pytest.raises(DataError, match="other predictions"):
        write(tmp_path, scores, make_predictions(10))


@pytest.mark.parametrize("missing", ["jinja2", "sklearn.metrics"])
def test_a_missing_extra_says_what_to_install(
    tmp_path: Path, predictions: Predictions, scores: Scores, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=r"pip install '\.\[train\]'"):
        write(tmp_path, scores, predictions)


def test_metrics_json_holds_no_nan(tmp_path: Path, make_predictions: MakePredictions) -> None:
    p = make_predictions(truth=np.arange(300) % 3)
    write(tmp_path, score(p, resamples=20), p)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)


def write(
    folder: Path, scores: Scores, predictions: Predictions, *, context: ReportContext = CONTEXT, **more: Any
) -> str:
    return write_report(folder, scores=scores, predictions=predictions, context=context, **more).read_text("utf-8")


def test_a_network_that_guesses_is_called_so(tmp_path: Path, make_predictions: MakePredictions) -> None:
    guesses, knows = make_predictions(200, skill=0), make_predictions(200, skill=4)
    page = Page(write(tmp_path / "guesses", score(guesses, resamples=200), guesses))
    assert "It guesses. No better than guessing, as far as the interval tells: accuracy" in page.text
    assert "no better than guessing (" in page.text
    assert "guessing" not in Page(write(tmp_path / "knows", score(knows, resamples=200), knows)).text
