"""The notebook runs, start to end, in a kernel of its own; and it is kept without outputs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "tutorial.ipynb"


def test_the_notebook_runs_and_everything_in_it_shows_itself(tmp_path: Path) -> None:
    shutil.copy(NOTEBOOK, tmp_path)
    # `jupyter execute`, wherever PATH points, in a process of its own: it warns, and warnings are errors here.
    execute = "from nbclient.cli import main; main()"
    command = [sys.executable, "-c", execute, NOTEBOOK.name, "--output=executed", "--timeout=-1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / "executed.ipynb").read_text("utf-8"))["cells"]
    shown = [
        "".join(output["data"].get("text/html", output["data"].get("image/png", "")))
        for cell in cells
        for output in cell.get("outputs", ())
        if output["output_type"] in ("execute_result", "display_data")
    ]
    pictures = sum(1 for text in shown if text.startswith("iVBOR"))  # PNG in base64
    assert pictures == 6
    html = [text for text in shown if text.startswith("<")]
    for words in ("<figure>", "<meter", "<th>sequence</th>", "suspected", "<th>specificity</th>", "the second is"):
        assert any(words in text for text in html), words
    said = "".join("".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", ()))
    assert "5 of 25 test pictures stand in the training part too" in said
    assert (tmp_path / "tutorial" / "cnn_lstm" / "evaluation" / "report.html").is_file()


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
