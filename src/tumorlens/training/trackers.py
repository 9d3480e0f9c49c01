"""Where a run is also logged, beside its own log.csv: TensorBoard and MLflow, through Lightning's loggers."""

from __future__ import annotations

from lightning.pytorch.loggers import Logger

from tumorlens.errors import MissingExtra
from tumorlens.training.run import Run


def make_loggers(run: Run, *, tensorboard: bool = False, mlflow: bool = False) -> list[Logger]:
    """The loggers a user asked for.

    Raises:
        MissingExtra: If one needs packages that are not installed.
    """
    loggers: list[Logger] = []
    if tensorboard:
        from lightning.pytorch.loggers import TensorBoardLogger

        try:
            loggers.append(TensorBoardLogger(run.folder, name="tensorboard", version=""))
        except ModuleNotFoundError as error:
            raise MissingExtra("--tensorboard", "tensorboard") from error
    if mlflow:
        from lightning.pytorch.loggers import MLFlowLogger

        try:
            loggers.append(MLFlowLogger(experiment_name="tumorlens", run_name=run.folder.name))
        except ModuleNotFoundError as error:
            raise MissingExtra("--mlflow", "mlflow") from error
    return loggers
