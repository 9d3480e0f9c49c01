"""A MONAI bundle, read, checked and run by MONAI itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tumorlens.classifier import Classifier
from tumorlens.engines.monai import export_bundle
from tumorlens.errors import ChecksumMismatch, ConfigError
from tumorlens.phantoms import EXAMPLE

_CHECK = """
import json, sys
from monai.bundle import ConfigParser, ConfigWorkflow, verify_net_in_out
root, scans = sys.argv[1:]
files = {"config_file": f"{root}/configs/inference.json", "meta_file": f"{root}/configs/metadata.json"}
verify_net_in_out(net_id="network_def", device="cpu", bundle_root=root, **files)
workflow = ConfigWorkflow(workflow_type="infer", bundle_root=root, scans=scans, logging_file=False, **files)
workflow.initialize()
workflow.run()
parser = ConfigParser()
parser.read_config(files["config_file"])
parser.update({"bundle_root": root, "scans": scans})
print(json.dumps(parser.get_parsed_content("probabilities")))
"""


@pytest.fixture
def bundle(tiny_weights: Path, tmp_path: Path) -> Path:
    return export_bundle(tiny_weights, tmp_path / "bundle")


def test_monai_checks_and_runs_it_and_its_answer_is_ours(bundle: Path, tiny_classifier: Classifier) -> None:
    scans = bundle / "scans"
    scans.mkdir()
    shutil.copy(EXAMPLE, scans / "a.png")
    command = [sys.executable, "-W", "ignore", "-c", _CHECK, str(bundle), str(scans)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    (finding,) = tiny_classifier.find(EXAMPLE)
    assert answers[0] == pytest.approx(list(finding.probabilities.values()), abs=1e-5)


def test_the_metadata_say_what_monais_schema_asks_for(bundle: Path, tiny_classifier: Classifier) -> None:
    data = json.loads((bundle / "configs" / "metadata.json").read_text())
    for name in ("version", "monai_version", "pytorch_version", "numpy_version", "task", "description", "authors"):
        assert isinstance(data[name], str)
    assert data["version"] in data["changelog"]
    outputs = data["network_data_format"]["outputs"]["pred"]
    assert list(outputs["channel_def"].values()) == [c.name for c in tiny_classifier.card.classes]
    assert data["network_data_format"]["inputs"]["image"]["spatial_shape"] == [32, 32]
    assert "tiny" in (bundle / "docs" / "README.md").read_text()


def test_damaged_weights_and_a_folder_that_is_there_are_refused(tiny_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already; choose another --output"):
        export_bundle(tiny_weights, tmp_path)
    tiny_weights.write_bytes(b"x")
    with pytest.raises(ChecksumMismatch):
        export_bundle(tiny_weights, tmp_path / "new")
