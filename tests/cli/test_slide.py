from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.slides.conftest import draw, save_tile_weights, write_slide


@pytest.fixture
def tile_weights(tmp_path: Path) -> Path:
    return save_tile_weights(tmp_path)


def test_a_slide_is_mapped(run: Run, tile_weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    slide, out = write_slide(tmp_path / "slide.tiff", draw()), tmp_path / "out"
    options = ("-w", str(tile_weights), "-o", str(out), "--field", "64", "--target", "malignant")
    code, said, err = run("slide", str(slide), *options)
    assert code == 0, err
    assert "shows malignant; tiles.geojson opens in QuPath" in " ".join((said + err).split())
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["tiles"], summary["shown"], sum(summary["labels"].values())) == (16, "malignant", 16)
    assert len(json.loads((out / "tiles.geojson").read_text())["features"]) == 16
    assert np.asarray(Image.open(out / "overlay.png")).shape == (768, 1024, 3)


def test_a_slide_without_a_magnification_asks_for_one(run: Run, tile_weights: Path, tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    slide, out = write_slide(tmp_path / "slide.tiff", draw(), microns=None), tmp_path / "out"
    options = ("-w", str(tile_weights), "-o", str(out), "--field", "64")
    code, _, err = run("slide", str(slide), *options)
    assert code == 1
    assert "it does not say its magnification; give the microns a pixel" in " ".join(err.split())
    assert not out.exists()
    assert run("slide", str(slide), *options, "--microns", "0.5")[0] == 0


def test_weights_of_another_modality_are_refused(run: Run, tiny_weights: Path, tmp_path: Path) -> None:
    code, _, err = run("slide", str(tmp_path / "slide.svs"), "-w", str(tiny_weights), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "tiny knows brain MRI, and a slide is stained tissue; give weights of tiles" in err
    assert not (tmp_path / "out").exists()
