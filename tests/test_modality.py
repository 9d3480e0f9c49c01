from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tumorlens.card import WeightsCard
from tumorlens.classes import ClassSet
from tumorlens.errors import ConfigError
from tumorlens.modality import BUILT_IN, Modality, find_modality, is_colourful
from tumorlens.preprocess import Preprocessing
from tumorlens.scan import Scan
from tumorlens.training.config import TrainConfig

GREY = Scan(np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32), "grey.png")
STAINED = Scan(np.full((32, 32, 3), (0.6, 0.4, 0.7), np.float32), "tile.png")


def test_the_built_in_cards_can_be_read_and_make_inputs() -> None:
    names = sorted(path.stem for path in BUILT_IN.glob("*.yaml"))
    assert names == ["CT", "MR", "SM"]
    for name in names:
        modality = find_modality(name)
        assert modality.code == name
        Preprocessing.model_validate(modality.preprocessing)


def test_a_scan_of_another_modality_is_refused_by_name() -> None:
    mr, ct, tissue = (find_modality(code) for code in ("MR", "CT", "SM"))
    assert mr.refuses(replace(GREY, modality="CT")) == "its file says CT, and these weights know MR only"
    assert ct.refuses(replace(GREY, modality="MR")) == "its file says MR, and these weights know CT only"
    assert "in colour, as stained tissue is, and these weights know brain MRI only" in mr.refuses(STAINED)
    assert "these weights know head CT only" in ct.refuses(STAINED)
    assert "grey, as MR and CT are, and these weights know stained tissue only" in tissue.refuses(GREY)
    assert [m.refuses(s) for m, s in ((mr, GREY), (ct, GREY), (tissue, STAINED))] == ["", "", ""]
    assert find_modality("").refuses(replace(STAINED, modality="US")) == ""


def test_a_tint_is_no_colour() -> None:
    tinted = GREY.rgb * np.array([1, 1, 0.97], np.float32)
    assert not is_colourful(tinted)
    assert not find_modality("MR").refuses(replace(GREY, pixels=tinted))


def test_ones_own_card(tmp_path: Path) -> None:
    card = tmp_path / "ultrasound.yaml"
    card.write_text("code: US\nname: ultrasound\nword: frame\ncolour: false\npreprocessing: {size: 96}\n")
    modality = find_modality(str(card))
    assert modality == Modality(code="US", name="ultrasound", word="frame", colour=False, preprocessing={"size": 96})
    config = TrainConfig.model_validate({"modality": str(card)})
    assert (config.modality, config.preprocessing.size) == (modality, 96)


@pytest.mark.parametrize("text", ["[", "- 1", "code: us", "colour: maybe", "channels: 3"])
def test_a_bad_card_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml: (cannot be read as YAML|is no modality card)"):
        find_modality(str(path))


def test_an_unknown_modality_is_told_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"XA: there is no such modality; give CT, MR, SM"):
        find_modality("XA")


def test_old_cards_name_a_modality_by_its_code() -> None:
    common = {"name": "w", "network": "cnn", "preprocessing": {}, "classes": ClassSet.of(["a", "b"])}
    assert WeightsCard.model_validate(common).modality == find_modality("MR")
    card = WeightsCard.model_validate({**common, "modality": "CT"})
    assert card.modality.name == "head CT"
    assert WeightsCard.model_validate_json(card.model_dump_json()) == card


def test_training_begins_with_the_modality_s_own_input() -> None:
    ct = TrainConfig.model_validate(
        {"modality": "CT", "model": "cnn_lstm_attention_fast", "preprocessing": {"size": 96}}
    )
    assert ct.preprocessing == Preprocessing(size=96, channels=3, windows=((40, 80), (80, 200), (600, 2800)))
    tissue = TrainConfig.model_validate({"modality": "SM", "model": "cnn_lstm_attention_fast"})
    assert (tissue.preprocessing.channels, tissue.preprocessing.intensity) == (3, "unit")
    assert TrainConfig.model_validate(tissue.model_dump(mode="json")) == tissue
    assert TrainConfig().preprocessing == Preprocessing()
