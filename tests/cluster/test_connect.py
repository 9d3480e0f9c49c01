from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tumorlens.cluster.connect import connect
from tumorlens.errors import ConfigError, MissingExtra


def test_a_cluster_that_is_not_there_is_said() -> None:
    with (
        pytest.raises(
            ConfigError, match=r"--address 127.0.0.1:1: no Ray cluster answers .*; start one with: ray start --head"
        ),
        connect("127.0.0.1:1"),
    ):
        pass


def test_without_ray_the_extra_is_named(folder_of: Callable[[int], Path], tiny_weights: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; from tumorlens.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", str(folder_of(1)), "-w", str(tiny_weights), "--engine", "ray"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: {MissingExtra('a Ray cluster', 'cluster')}\n"
