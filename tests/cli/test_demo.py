import json
from pathlib import Path

import pytest

from tumorlens.card import read_card, shipped_weights
from tumorlens.cli.console import Console
from tumorlens.cli.demo import _OURS, READER, run_demo
from tumorlens.errors import ConfigError


def test_the_demo_makes_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    if READER not in shipped_weights():
        monkeypatch.setattr("tumorlens.cli.demo.READER", str(folder / "run"))
    run_demo(folder, 80, 1, Console())
    said = capsys.readouterr().err
    assert "synthetic" in (folder / "report.html").read_text(encoding="utf-8").casefold()
    assert read_card(folder / "run" / "weights.safetensors").scores["n"] > 0
    explained = json.loads((folder / "explained" / "findings.json").read_text())
    tested = [p for p in (folder / "run" / "split.csv").read_text().splitlines() if p.endswith(",test")]
    assert len(explained["findings"]) == len(tested)
    assert len(list((folder / "examples").glob("synthetic-*.png"))) == 8
    assert len(json.loads((folder / "findings" / "findings.json").read_text())["findings"]) == 8
    for name in _OURS:
        assert (folder / name).exists(), name
        assert name in {"run", "phantoms", "examples"} or str(folder / name) in said


@pytest.mark.parametrize("held", [["notes.txt"], ["phantoms/SYNTHETIC", "notes.txt"], ["run/weights.json"]])
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, held: list[str]) -> None:
    for name in held:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match="holds other files; choose another --output"):
        run_demo(tmp_path, 80, 1, Console(quiet=True))
    assert all((tmp_path / name).read_text() == "mine" for name in held)


def test_an_earlier_demo_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("phantoms/SYNTHETIC", "run/config.yaml", "report.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")

    def stop(folder: Path, *_: object, **__: object) -> None:
        assert list(tmp_path.iterdir()) == []
        raise KeyboardInterrupt

    monkeypatch.setattr("tumorlens.cli.demo.write_phantoms", stop)
    with pytest.raises(KeyboardInterrupt):
        run_demo(tmp_path, 80, 1, Console(quiet=True))
