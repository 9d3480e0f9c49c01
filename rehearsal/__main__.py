"""Runs a node that pretends."""

from __future__ import annotations

import logging
import sys
from functools import partial
from pathlib import Path

from rehearsal.phantoms import prepare_pretend
from tumorlens.node.config import read_node_config
from tumorlens.node.node import Node


def main() -> None:
    """Runs it until SIGINT or SIGTERM."""
    config, folder = Path(sys.argv[1]), Path(sys.argv[2])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    Node(read_node_config(config), partial(prepare_pretend, folder)).run()


if __name__ == "__main__":
    main()
