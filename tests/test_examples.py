"""The examples run, with a stand-in for what they need and this project does not."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from tumorlens.classifier import Classifier
from tumorlens.phantoms import EXAMPLE

EXAMPLES = Path(__file__).parents[1] / "examples"


class Refused(Exception):
    """Stands in for gradio.Error."""


def part(**options: Any) -> SimpleNamespace:
    return SimpleNamespace(**options)


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tiny_classifier: Classifier) -> SimpleNamespace:
    """What the example would have Gradio show."""
    gradio = SimpleNamespace(Interface=part, File=part, Label=part, Image=part, Markdown=part, Error=Refused)
    monkeypatch.setitem(sys.modules, "gradio", gradio)
    made: SimpleNamespace = runpy.run_path(str(EXAMPLES / "gradio_app.py"))["build"](tiny_classifier)
    return made


def test_the_gradio_page_reads_its_example(page: SimpleNamespace) -> None:
    ((example,),) = page.examples
    assert example == str(EXAMPLE)
    probabilities, overlay, words = page.fn(example)
    assert sum(probabilities.values()) == pytest.approx(1)
    assert isinstance(overlay, Image.Image)
    assert words.startswith("- ")
    assert len(page.outputs) == 3


def test_the_gradio_page_says_what_is_wrong_with_a_file(page: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("nothing")
    with pytest.raises(Refused, match=r"text\.png"):
        page.fn(str(tmp_path / "text.png"))
