"""Fingerprints tell the pictures that trained a network, and nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumorlens.card import find_weights, shipped_weights
from tumorlens.data.fingerprints import fingerprint, read_fingerprints, write_fingerprints
from tumorlens.data.manifest import read_manifest
from tumorlens.errors import ModelError
from tumorlens.formats import read_scans
from tumorlens.overlay import draw_scan
from tumorlens.phantoms.phantom import make_phantoms


def test_the_same_pixels_have_the_same_one_in_any_file_and_others_another(tmp_path: Path) -> None:
    first, second = (draw_scan(phantom.scan) for phantom in make_phantoms(2, size=64))
    found = {}
    for name, picture in (("a.png", first), ("a.bmp", first), ("other.png", second)):
        picture.save(tmp_path / name)
        (found[name],) = map(fingerprint, read_scans(tmp_path / name))
    Image.open(tmp_path / "a.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "mirrored.png")
    (mirrored,) = map(fingerprint, read_scans(tmp_path / "mirrored.png"))
    assert found["a.png"] == found["a.bmp"]
    assert len({found["a.png"], found["other.png"], mirrored}) == 3


def test_the_shape_counts() -> None:
    (phantom,) = make_phantoms(1, size=64)
    flat = replace(phantom.scan, pixels=phantom.scan.pixels.reshape(32, 128))
    assert fingerprint(phantom.scan) != fingerprint(flat)


def test_they_lie_beside_the_weights(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    assert read_fingerprints(weights) is None
    write_fingerprints(weights, [2**64 - 1, 7, 7])
    found = read_fingerprints(weights)
    assert found is not None
    assert found.tolist() == [7, 2**64 - 1]
    weights.with_suffix(".fingerprints").write_bytes(b"1234567")
    with pytest.raises(ModelError, match="is cut off; copy it again, or delete it to do without"):
        read_fingerprints(weights)


@pytest.mark.real
def test_real_pictures_that_trained_the_weights_in_the_package_are_known() -> None:
    home = os.environ.get("TUMORLENS_DATA")
    if not home or not (Path(home) / "masoud").is_dir():
        pytest.skip("TUMORLENS_DATA names no folder with masoud in it")
    entries = read_manifest(Path(home, "masoud")).entries
    for name in shipped_weights():
        trained = read_fingerprints(find_weights(name))
        assert trained is not None
        for split, known in (("training", True), ("testing", name != "cnn_lstm")):
            some = [e for e in entries if e.split == split][::200]
            found = np.array([fingerprint(scan) for e in some for scan in read_scans(e.path)], np.uint64)
            assert np.isin(found, trained).all() == known
