"""Where a run is also logged, beside its own log.csv: TensorBoard and MLflow, through Lightning's loggers."""

from __future__ import annotations

from lightning.pytorch.loggers import Logger

from tumorlens.errors import needs_extra
from tumorlens.training.run import Run


def make_loggers(run: Run, *, tensorboard: bool = False, mlflow: bool = False) -> list[Logger]:
    """The loggers a user asked for.

    Raises:
        MissingExtra: If one needs packages that are not installed.
    """
    loggers: list[Logger] = []
    if tensorboard:
        from lightning.pytorch.loggers import TensorBoardLogger

        with needs_extra("--tensorboard", "tensorboard"):
            loggers.append(TensorBoardLogger(run.folder, name="tensorboard", version=""))
    if mlflow:
        from lightning.pytorch.loggers import MLFlowLogger

        with needs_extra("--mlflow", "mlflow"):
            loggers.append(MLFlowLogger(experiment_name="tumorlens", run_name=run.folder.name))
    return loggers
