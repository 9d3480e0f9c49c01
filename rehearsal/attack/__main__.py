"""`python -m rehearsal.attack`: each line says what was tried, what held and what fell; so does the exit code."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rehearsal.attack import FULL, SMALL, Attack, Line, Size, api, dimse, disks, files, http, outputs

ATTACKS: dict[str, Attack] = {
    "dimse": dimse.attack,
    "http": http.attack,
    "api": api.attack,
    "outputs": outputs.attack,
    "disks": disks.attack,
    "files": files.attack,
}


def _lines(name: str, size: Size, folder: Path) -> Iterator[Line]:
    """An attack's; what breaks off has fallen, and the others go on."""
    try:
        yield from ATTACKS[name](size, folder)
    except (OSError, RuntimeError) as error:  # a TimeoutError is one
        yield Line(f"{name}: broke off", 1, 0, str(error)[-100:])


def main() -> int:
    """Attacks, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m rehearsal.attack", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*ATTACKS, []], help="which; all without")
    parser.add_argument("--full", action="store_true", help="at full size: an hour instead of some minutes")
    asked = parser.parse_args()
    fell, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory(prefix="attack") as folder:
        for name in asked.names or ATTACKS:
            for line in _lines(name, FULL if asked.full else SMALL, Path(folder)):
                print(line, flush=True)  # noqa: T201
                fell += line.tried - line.held
    print(f"{f'{fell} fell' if fell else 'all held'}, after {time.monotonic() - began:.0f} s")  # noqa: T201
    return int(fell > 0)


if __name__ == "__main__":
    sys.exit(main())
