"""The gate recognises pictures by name: those it was shown examples of, made or given, and no ordinary scan."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tumorlens.data.unlike import MADE
from tumorlens.errors import DataError
from tumorlens.experiments.kinds import gather_examples, learn_kinds
from tumorlens.model.gate import Gate, measure_checks
from tumorlens.phantoms.phantom import make_phantoms
from tumorlens.preprocess import Preprocessing
from tumorlens.strangeness import Kind, judge

RULE = Preprocessing(size=64)
Images = NDArray[np.float32]
Learnt = tuple[Gate, dict[str, Kind], dict[str, Images]]


def inputs(count: int, seed: int) -> Images:
    return np.stack([RULE(p.scan) for p in make_phantoms(count, size=64, seed=seed)])


@pytest.fixture(scope="module")
def ringed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures with a white ring round grey, as CT has it, in one class folder."""
    folder = tmp_path_factory.mktemp("ct")
    (folder / "normal").mkdir()
    for i, p in enumerate(make_phantoms(24, size=64, seed=50)):
        grey = p.scan.grey
        inside = grey > 0.08
        core = inside & np.roll(inside, 4, 0) & np.roll(inside, -4, 0) & np.roll(inside, 4, 1) & np.roll(inside, -4, 1)
        picture = np.where(core, 0.35 + 0.05 * grey, np.where(inside, 1.0, 0.0))
        Image.fromarray(np.uint8(picture * 255)).save(folder / "normal" / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def learnt(ringed: Path) -> Learnt:
    training, held = inputs(80, 0), inputs(60, 1)
    pooled = np.ones((len(training), 4), np.float32) + np.random.default_rng(0).random((len(training), 4), np.float32)
    gate = Gate.learn(training, pooled)
    examples = gather_examples(training, {"CT": str(ringed)}, RULE)
    labels = np.arange(len(held)) % 4
    return gate, {k.name: k for k in learn_kinds(gate, training, (measure_checks(held), labels), examples)}, examples


def likeness(learnt: Learnt, name: str, images: Images) -> NDArray[np.float64]:
    gate, kinds, _ = learnt
    return np.array([kinds[name].likeness(row) for row in gate.standardise(images).tolist()])


def test_every_kind_that_can_be_made_and_each_that_is_given_is_learnt(learnt: Learnt) -> None:
    assert set(learnt[1]) == {*MADE, "CT"}


@pytest.mark.parametrize("name", [*MADE, "CT"])
def test_most_pictures_of_a_kind_are_recognised_and_other_scans_are_not(learnt: Learnt, name: str) -> None:
    examples, others = learnt[2][name], inputs(60, 2)
    assert (likeness(learnt, name, examples) > 1).mean() > 0.8
    assert (likeness(learnt, name, others) > 1).mean() < 0.1


def test_a_recognised_scan_is_unknown_and_its_reason_names_the_kind(learnt: Learnt) -> None:
    gate, kinds, examples = learnt
    likest = int(np.argmax(likeness(learnt, "CT", examples["CT"])))
    standardised = gate.standardise(examples["CT"])[likest].tolist()
    strange = judge((0.2, 0.2), standardised, (kinds["CT"],))
    assert strange.unknown
    assert strange.reason == "unlike the scans it was trained on: it looks like CT"
    assert not judge((0.2, 0.2), standardised).unknown


def test_colour_scans_have_given_kinds_only(ringed: Path) -> None:
    rule = Preprocessing(size=64, channels=3)
    images = np.repeat(inputs(4, 0), 3, axis=1)
    assert list(gather_examples(images, {"CT": str(ringed)}, rule)) == ["CT"]


def test_a_name_that_is_taken_is_refused(ringed: Path) -> None:
    with pytest.raises(DataError, match="another name"):
        gather_examples(inputs(4, 0), {"text": str(ringed)}, RULE)
