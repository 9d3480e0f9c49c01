"""Findings in words."""

import re
from pathlib import Path
from typing import get_args

import pytest

import tumorlens
from tumorlens.card import Calibration, WeightsCard
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.finding import Finding, WeightsId
from tumorlens.preprocess import Preprocessing
from tumorlens.study_record import Answer
from tumorlens.wording import STATES, in_words, ranges, set_in_words, study_in_words

SURE = {"glioma": 0.9, "meningioma": 0.05, "pituitary": 0.03, "no_tumor": 0.02}
UNSURE = {"glioma": 0.33, "meningioma": 0.2, "pituitary": 0.08, "no_tumor": 0.39}


def test_a_close_call_says_so_and_names_no_winner() -> None:
    assert in_words(SURE, BRAIN_TUMORS) == "glioma, 90%"
    assert in_words(UNSURE, BRAIN_TUMORS) == "close call: no tumour 39%, glioma 33%"
    assert in_words({}, BRAIN_TUMORS) == "unknown scan"


def test_a_study_names_its_most_suspicious_slices_as_ranges() -> None:
    key_slices = [3, *range(126, 191)]
    assert study_in_words("glioma suspected, 90%", key_slices) == (
        "glioma suspected, 90%; most suspicious slices: 3, 126–190"
    )
    assert study_in_words("glioma suspected, 90%", [1]) == "glioma suspected, 90%"


@pytest.mark.parametrize(
    ("keys", "probabilities", "words"),
    [
        (("glioma",), SURE, ""),
        ((), SURE, ""),
        (("glioma", "meningioma"), SURE, "prediction set (95%): glioma or meningioma"),
        (("glioma", "meningioma", "pituitary"), SURE, "prediction set (95%): glioma, meningioma or pituitary tumour"),
        (("no_tumor", "glioma"), UNSURE, ""),
    ],
)
def test_a_prediction_set_has_the_cards_coverage_and_excludes_nothing(
    keys: tuple[str, ...], probabilities: dict[str, float], words: str
) -> None:
    calibration = Calibration(scans={}, coverage=0.95, set_thresholds={}, accepted=0.95)
    card = WeightsCard(
        name="w", network="cnn", preprocessing=Preprocessing(), classes=BRAIN_TUMORS, calibration=calibration
    )
    label = max(probabilities, key=lambda key: probabilities[key])
    finding = Finding("a", 0, label, probabilities, WeightsId(name="w", sha256=""), prediction_set=keys)
    assert set_in_words(finding, card) == words


@pytest.mark.parametrize(
    ("numbers", "text"), [([], ""), ([4], "4"), ([2, 1], "1–2"), ([1, 3, 4, 5, 9], "1, 3–5, 9"), ([1, 1], "1")]
)
def test_runs_are_folded(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_no_surface_says_that_a_class_is_ruled_out() -> None:
    files = [
        p for p in Path(tumorlens.__file__).parent.rglob("*") if p.suffix in (".py", ".js", ".html", ".j2", ".json")
    ]
    texts = {p.name: p.read_text("utf-8") for p in files if p.name != "niivue.js"}
    assert {"common.js", "report.html", "capture.py", "cnn_lstm.json"} <= texts.keys()
    assert [name for name, text in texts.items() if re.search(r"ruled\s+out|excluded\s+class", text, re.I)] == []


def test_every_answer_for_a_study_has_words_and_none_rules_anything_out() -> None:
    assert set(STATES) == set(get_args(Answer))
    assert not [words for words in STATES.values() if "ruled out" in words.lower() or "excluded" in words.lower()]
