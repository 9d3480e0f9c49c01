"""What `import tumorlens` offers, and that it costs little."""

import subprocess
import sys

import pytest

import tumorlens

_LIGHT = """
import sys
import tumorlens
from tumorlens import cli
light = not {"torch", "lightning", "sklearn", "matplotlib"} & set(sys.modules)
for arguments in (["--help"], ["predict", "--help"], ["info", "--json"]):
    sys.argv = ["tumorlens", *arguments]
    try:
        cli.main()
    except SystemExit as exit:
        assert not exit.code, exit.code
    assert not {"torch", "lightning", "sklearn", "matplotlib"} & set(sys.modules), arguments
assert light
from tumorlens import BRAIN_TUMORS, Finding, Region, Scan, TumorLensError, read_scans
assert "torch" not in sys.modules, "the core loads torch"
from tumorlens import Classifier
Classifier.load()
assert "torch" not in sys.modules, "the weights in the package load torch"
Classifier.load().network
assert "torch" in sys.modules, "this test looks at nothing"
"""


def test_neither_import_nor_help_nor_info_nor_reading_loads_anything_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", _LIGHT], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_public_name_is_there_and_documented() -> None:
    names = [name for name in tumorlens.__all__ if name != "__version__"]
    assert dir(tumorlens) == sorted(tumorlens.__all__)
    assert all(getattr(tumorlens, name).__doc__ for name in names)


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Clasifier"):
        tumorlens.Clasifier  # noqa: B018
