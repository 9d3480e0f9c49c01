"""The demo's report in a real browser. Needs Debian's chromium: `apt-get install chromium`."""

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tumorlens.cli.console import Console
from tumorlens.cli.demo import run_demo

pytestmark = pytest.mark.e2e
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    run_demo(folder, 160, 2, Console(quiet=True))
    return folder / "report.html"


def chromium(profile: Path, *arguments: str) -> bytes:
    browser = shutil.which("chromium")
    assert browser, "chromium is not installed: apt-get install chromium"
    command = [browser, *_FLAGS, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, timeout=120).stdout


def screenshot(report: Path, tmp_path: Path, width: int, *flags: str) -> np.ndarray:
    picture = tmp_path / f"{width}.png"
    chromium(tmp_path / "profile", f"--window-size={width},2400", f"--screenshot={picture}", *flags, report.as_uri())
    return np.asarray(Image.open(io.BytesIO(picture.read_bytes())).convert("L"), np.float32)


def test_report_says_what_it_is(report: Path, tmp_path: Path) -> None:
    page = chromium(tmp_path / "profile", "--dump-dom", report.as_uri()).decode()

    for words in ("research use only", "synthetic", "macro F1", "ROC", "onfusion matrix"):
        assert words.casefold() in page.casefold()


@pytest.mark.parametrize("width", [400, 1280])
def test_report_fills_the_window_and_does_not_run_out_of_it(report: Path, tmp_path: Path, width: int) -> None:
    picture = screenshot(report, tmp_path, width)

    assert picture.shape[1] == width
    bands = picture.reshape(12, -1, width).std((1, 2))
    assert (bands > 5).all(), "a band of the page is empty"


def test_report_is_dark_where_the_reader_wants_it(report: Path, tmp_path: Path) -> None:
    light = screenshot(report, tmp_path, 1280)
    dark = screenshot(report, tmp_path, 1281, "--blink-settings=preferredColorScheme=0")

    assert light.mean() > 150
    assert dark.mean() < 110
