from __future__ import annotations

from pathlib import Path

import pytest

from rehearsal.phantoms import CT, make_instance, write_study
from tumorlens.classifier import Classifier
from tumorlens.cli.weights import choose_weights
from tumorlens.errors import ConfigError, ModelError
from tumorlens.modality import find_modality
from tumorlens.model.weights import save_weights


@pytest.fixture
def ct(tiny_classifier: Classifier, tmp_path: Path) -> Path:
    path = tmp_path / "ct.safetensors"
    card = tiny_classifier.card.model_copy(update={"modality": find_modality("CT")})
    save_weights(tiny_classifier.network, card, path)
    return path


def test_a_name_means_itself_whatever_the_files_are() -> None:
    for name in ("cnn_lstm", "runs/ct", "hf://owner/name", "C=odd/folder"):
        assert choose_weights(name, ["nowhere"]) == name


def test_files_say_which_of_the_weights_are_theirs(ct: Path, tmp_path: Path) -> None:
    write_study(tmp_path / "mr", "a", 2)
    write_study(tmp_path / "ct", "b", 2, **CT)
    (tmp_path / "ct" / "notes.txt").write_text("no scan")
    named = f"MR=cnn_lstm,CT={ct}"
    assert choose_weights(named, [tmp_path / "mr"]) == "cnn_lstm"
    assert choose_weights(named, [str(tmp_path / "ct")]) == str(ct)
    with pytest.raises(ConfigError, match="the files are of CT and MR; give those of one modality at a time"):
        choose_weights(named, [tmp_path / "mr", tmp_path / "ct"])
    with pytest.raises(ConfigError, match="the files are CT, and there are weights for MR only"):
        choose_weights("MR=cnn_lstm", [tmp_path / "ct"])


def test_files_that_say_nothing_need_weights_by_name(tmp_path: Path) -> None:
    make_instance("c", Modality=None).save_as(tmp_path / "x.dcm", enforce_file_format=True)
    with pytest.raises(ConfigError, match="no file says which modality it is"):
        choose_weights("MR=cnn_lstm", [tmp_path])


@pytest.mark.parametrize(
    ("named", "problem"),
    [("MR=cnn_lstm,CT", "write it as MR=WEIGHTS,CT=WEIGHTS"), ("CT=cnn_lstm", "cnn_lstm know MR, and not CT")],
)
def test_what_is_wrong_with_the_names_is_said(named: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        choose_weights(named, [])


def test_weights_by_modality_must_be_there() -> None:
    with pytest.raises(ModelError, match="no such weights"):
        choose_weights("CT=nowhere", [])
