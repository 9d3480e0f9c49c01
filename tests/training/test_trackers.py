import sys
from collections.abc import Callable

import pytest

from tumorlens.errors import MissingExtra
from tumorlens.listener import Epoch
from tumorlens.training.fit import Interrupted
from tumorlens.training.run import Run
from tumorlens.training.trackers import make_loggers


def test_none_by_default(begin: Callable[..., Run]) -> None:
    assert make_loggers(begin()) == []


def test_tensorboard_gets_the_curves_in_the_runs_folder(
    begin: Callable[..., Run], fit_run: Callable[..., list[int]]
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = begin(epochs=3)

    def stop(row: Epoch) -> None:
        if row.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        fit_run(run, stop, loggers=make_loggers(run, tensorboard=True))
    fit_run(run, loggers=make_loggers(run, tensorboard=True))
    assert list((run.folder / "tensorboard").glob("events.out.tfevents.*"))
    events = EventAccumulator(str(run.folder / "tensorboard"))  # one curve, also of a resumed run
    events.Reload()
    assert {"train_loss", "val_loss", "val_accuracy"} <= set(events.Tags()["scalars"])
    assert len({e.step for e in events.Scalars("val_loss")}) == 3


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_tracker_says_how_to_install_it(
    begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    modules = {"tensorboard": ("tensorboard", "tensorboardX"), "mlflow": ("mlflow", "mlflow_skinny")}[name]
    run = begin()
    if name == "tensorboard":
        monkeypatch.setattr("lightning.pytorch.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
        monkeypatch.setattr("lightning.fabric.loggers.tensorboard._TENSORBOARD_AVAILABLE", False)
        monkeypatch.setattr("lightning.fabric.loggers.tensorboard._TENSORBOARDX_AVAILABLE", False)
    elif any(module in sys.modules for module in modules):
        pytest.skip("mlflow is installed")
    with pytest.raises(MissingExtra, match=rf"--{name} needs packages .*pip install '\.\[{name}\]'"):
        make_loggers(run, **{name: True})
