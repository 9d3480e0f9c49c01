"""Ray: a cluster that runs already, or one started on this machine for the while.

Moritz et al., Ray: A distributed framework for emerging AI applications, OSDI 2018.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tumorlens.errors import ConfigError, needs_extra


@contextmanager
def connect(address: str | None = None, processors: int | None = None) -> Iterator[None]:
    """Connects to Ray, and leaves as it was found: what this starts, it stops.

    Args:
        address: Of a running cluster: "auto" for this machine's, "ray://host:10001", or host and port. None starts
            one on this machine, which reports to nobody.
        processors: Of the one started here; None takes all there are.

    Raises:
        MissingExtra: If Ray is not installed.
        ConfigError: If there is no cluster at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns of what it will do about GPUs
    with needs_extra("a Ray cluster", "cluster"):
        import ray
        import ray.data
    if ray.is_initialized():
        yield
        return
    if address:
        _knock(address)
    here: dict[str, Any] = {} if address else {"num_cpus": processors, "include_dashboard": False}
    try:
        # Not None: that would look for a cluster that somebody once started here, and wait for it if it is gone.
        ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False, **here)
    except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
        raise _silent(address, error) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raises at once if nobody answers at host and port: Ray itself would wait for five minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise _silent(address, error) from error


def _silent(address: str | None, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())[:200]
    return ConfigError(f"--address {address}: no Ray cluster answers ({reason}); start one with: ray start --head")
