from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_weights_of_another_modality_are_refused(run: Run, tiny_weights: Path, tmp_path: Path) -> None:
    code, _, err = run("slide", str(tmp_path / "slide.svs"), "-w", str(tiny_weights), "-o", str(tmp_path / "out"))
    assert code == 2
    assert "tiny knows brain MRI, and a slide is stained tissue; give weights of tiles" in err
    assert not (tmp_path / "out").exists()
