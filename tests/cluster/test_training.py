"""Networks trained on Ray are those that would have been trained here."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tumorlens.cluster.training import train_on_ray
from tumorlens.data.loader import load_slices
from tumorlens.data.manifest import read_manifest
from tumorlens.errors import ConfigError
from tumorlens.experiments.crossvalidation import crossvalidate
from tumorlens.experiments.experiment import Experiment
from tumorlens.listener import Listener
from tumorlens.phantoms.dataset import write_phantoms
from tumorlens.training.config import TrainConfig
from tumorlens.training.run import Run

QUICK = TrainConfig(epochs=1, batch_size=16, options={"widths": [4, 8], "depth": 1, "hidden": 8})

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "phantoms"
    write_phantoms(folder, 80, size=64, seed=1)
    return folder


def test_on_ray_the_same_networks_come_out(phantoms: Path, tmp_path: Path) -> None:
    config, said = QUICK.model_copy(update={"validation": 0.0, "threads": 1}), list[str]()
    found = []
    for name, trainer in (("here", None), ("there", train_on_ray())):
        listener = Listener(said.append)
        found.append(
            crossvalidate([phantoms], config, tmp_path / name, folds=2, final=True, listener=listener, trainer=trainer)
        )
    assert found[0] == found[1]
    assert "training 3 networks on Ray" in said
    for run in ("fold-0", "fold-1", "final"):
        here, there = (tmp_path / name / run / "weights.safetensors" for name in ("here", "there"))
        assert here.read_bytes() == there.read_bytes()


def test_what_goes_wrong_on_ray_is_said_as_if_it_had_here(phantoms: Path, tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", QUICK, [phantoms])
    loaded = load_slices(read_manifest(phantoms), QUICK.preprocessing)
    spoiled = replace(loaded, images=np.full_like(loaded.images, np.nan))
    with pytest.raises(ConfigError, match="the loss is no finite number"):
        train_on_ray()([Experiment(run, spoiled)], Listener())
