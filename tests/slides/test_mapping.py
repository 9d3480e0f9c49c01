from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.slides.conftest import draw
from tumorlens.card import WeightsCard
from tumorlens.classes import ClassSet
from tumorlens.classifier import Classifier
from tumorlens.errors import ConfigError, NotAScan, UnreadableFile
from tumorlens.modality import find_modality
from tumorlens.model import build_network
from tumorlens.preprocess import Preprocessing
from tumorlens.slides import map_slide

pytest.importorskip("openslide")


class _Violet(torch.nn.Module):
    """Logits by how red a tile is: pink is benign, violet malignant."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        red = maps[:, 0].mean((1, 2))
        return torch.stack([red - 0.65, 0.65 - red], 1) * 40


@pytest.fixture
def by_colour() -> Classifier:
    network = build_network("cnn", channels=3, classes=2, widths=(4,), depth=1)
    network.features, network.head = torch.nn.Identity(), _Violet()
    card = WeightsCard(
        name="by-colour",
        network="cnn",
        preprocessing=Preprocessing(size=32, channels=3),
        classes=ClassSet.of(["benign", "malignant"]),
        modality=find_modality("SM"),
    )
    return Classifier.of(network, card)


def test_a_slide_becomes_a_map_a_table_and_geojson(
    make_slide: Callable[..., Path], by_colour: Classifier, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    out = tmp_path / "out"
    path = str(make_slide(draw()))
    found = map_slide(path, by_colour, out, field=64, target="malignant", progress=lambda *p: seen.append(p))
    summary = found.summary
    assert (summary.tiles, summary.labels, summary.shown) == (16, {"benign": 8, "malignant": 8}, "malignant")
    assert seen[-1] == (16, 16)
    with (out / "tiles.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(int(r["left"]) >= 512, r["label"]) for r in rows} == {(False, "benign"), (True, "malignant")}
    document = json.loads((out / "tiles.geojson").read_text())
    assert document["type"] == "FeatureCollection"
    assert len(document["features"]) == 16
    first = document["features"][0]
    assert first["geometry"]["coordinates"] == [[[256, 128], [384, 128], [384, 256], [256, 256], [256, 128]]]
    assert first["properties"]["classification"]["name"] == "benign"
    assert first["properties"]["objectType"] == "tile"
    assert len(first["properties"]["classification"]["color"]) == 3
    assert sum(first["properties"]["measurements"].values()) == pytest.approx(1, abs=1e-3)
    picture = np.asarray(Image.open(out / "overlay.png"), np.float32)
    change = np.abs(picture - draw()).mean(2)
    assert change[150:600, 530:750].mean() > 20 > 5 > change[150:600, 270:500].mean()
    assert json.loads((out / "summary.json").read_text())["labels"] == summary.labels
    heat = found.heat("malignant")
    assert heat[150:600, 530:750].min() > 0.9 > 0.1 > heat[150:600, 270:500].max()
    assert not heat[:100].any()


def test_tiles_are_read_in_batches_each_once(
    make_slide: Callable[..., Path], by_colour: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tumorlens.slides.mapping._BATCH", 5)
    seen: list[tuple[int, int]] = []
    map_slide(str(make_slide(draw())), by_colour, tmp_path / "out", field=64, progress=lambda *p: seen.append(p))
    assert seen == [(0, 16), (5, 16), (10, 16), (15, 16), (16, 16)]
    with (tmp_path / "out" / "tiles.csv").open(newline="") as file:
        places = [(int(row["top"]), int(row["left"])) for row in csv.DictReader(file)]
    assert places == sorted(set(places))


def test_geojson_counts_from_the_scanned_part(
    make_slide: Callable[..., Path], by_colour: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tumorlens.slides.Slide.corner", (100, 28))
    map_slide(str(make_slide(draw())), by_colour, tmp_path / "out", field=64)
    features = json.loads((tmp_path / "out" / "tiles.geojson").read_text())["features"]
    assert features[0]["geometry"]["coordinates"][0][0] == [156, 100]
    with (tmp_path / "out" / "tiles.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["left"] == "256"


def test_a_slide_that_breaks_off_leaves_nothing(
    make_slide: Callable[..., Path], by_colour: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tifffile

    monkeypatch.setattr("tumorlens.slides.slide.OVERVIEW", 256)
    path = make_slide(draw())
    with tifffile.TiffFile(path) as tiff:
        damaged = tiff.pages[0].dataoffsets[4 * 8 + 4]  # the overview is of another level, and whole
    with path.open("r+b") as file:
        file.seek(damaged)
        file.write(bytes(200))
    with pytest.raises(UnreadableFile, match="pyramid is broken; export it from the scanner again"):
        map_slide(str(path), by_colour, tmp_path / "out", field=16)
    assert not (tmp_path / "out").exists()


def test_wrong_weights_classes_and_folders_are_told(
    make_slide: Callable[..., Path], by_colour: Classifier, tiny_classifier: Classifier, tmp_path: Path
) -> None:
    path = str(make_slide(draw()))
    with pytest.raises(ConfigError, match="knows brain MRI, and a slide is stained tissue"):
        map_slide(path, tiny_classifier, tmp_path / "out")
    with pytest.raises(ConfigError, match="no class 'glioma'"):
        map_slide(path, by_colour, tmp_path / "out", target="glioma")
    with pytest.raises(ConfigError, match="exists already"):
        map_slide(path, by_colour, tmp_path, field=64)


def test_glass_alone_is_no_tissue(make_slide: Callable[..., Path], by_colour: Classifier, tmp_path: Path) -> None:
    glass = np.random.default_rng(0).integers(236, 241, (512, 512, 3)).astype(np.uint8)
    with pytest.raises(NotAScan, match="no tissue was found"):
        map_slide(str(make_slide(glass)), by_colour, tmp_path / "out")
    assert not (tmp_path / "out").exists()
