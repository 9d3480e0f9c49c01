"""`tumorlens doctor`: what it looks at, and what it calls ill."""

from __future__ import annotations

import json
import shutil
import tomllib
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tumorlens import card as cards

doctor = import_module("tumorlens.cli.doctor")  # the package has the command under this name

NAMED = ["numpy>=1.26", "nothing-like-it>=1; extra == 'batch'", "tumorlens[batch]; extra == 'cluster'"]


@pytest.fixture
def small(tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny network is the only one in the package."""
    monkeypatch.setattr(cards, "SHIPPED", tiny_weights.parent)
    return tiny_weights


def test_all_is_well_where_all_is_installed(run: Run, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = run("doctor")
    assert (code, err.splitlines()[-1]) == (0, "all is well")
    for said in ("Python 3", "packages", "extra train", "device", "free memory", "weights tiny", "phantom"):
        assert said in out
    code, out, err = run("doctor", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert report["well"] is True
    assert {check["state"] for check in report["checks"]} <= {"well", "missing"}


def test_damaged_weights_are_ill(run: Run, small: Path) -> None:
    small.write_bytes(small.read_bytes()[:-1])
    code, out, err = run("doctor")
    assert code == 1
    assert "ill: weights tiny" in err
    assert "damaged" in " ".join(out.split())


def test_weights_whose_graph_alone_is_whole_are_ill(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    name = "cnn_lstm_attention_fast"
    for file in cards.SHIPPED.glob(f"{name}.*"):
        shutil.copy(file, tmp_path)
    (tmp_path / f"{name}.safetensors").write_bytes(b"nothing")
    monkeypatch.setattr(cards, "SHIPPED", tmp_path)
    assert run("doctor")[0] == 1


def test_no_weights_are_ill(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "SHIPPED", tmp_path)
    code, out, _ = run("doctor")
    assert code == 1
    assert "there are none in the package" in out


def test_an_extra_that_is_not_there_is_missing_and_says_how_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "requires", lambda _: NAMED)
    found = {check.what: check for check in doctor._packages()}
    assert found["packages"].state == "well"
    for extra in ("batch", "cluster"):  # which brings the other
        assert found[f"extra {extra}"].state == "missing"
        assert "nothing-like-it" in found[f"extra {extra}"].words
        assert f"pip install '.[{extra}]'" in found[f"extra {extra}"].words


@pytest.mark.parametrize("named", [["numpy>=999"], ["nothing-like-it"]])
def test_a_core_package_that_is_missing_or_does_not_fit_is_ill(
    named: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "requires", lambda _: named)
    assert next(doctor._packages()).state == "ill"


def test_a_folder_that_was_never_installed_is_ill(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(_: str) -> None:
        raise PackageNotFoundError

    monkeypatch.setattr(doctor, "requires", nowhere)
    assert next(doctor._packages()).state == "ill"


@pytest.mark.parametrize(("free", "state"), [(10**8, "ill"), (10**10, "well"), (None, "well")])
def test_too_little_memory_is_ill(free: int | None, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "free_memory", lambda: free)
    assert doctor._memory().state == state


def test_memory_is_a_number_here() -> None:
    assert (doctor.free_memory() or 0) > 10**6


def test_every_extra_for_users_is_looked_at() -> None:
    path = Path(__file__).parents[2] / "pyproject.toml"
    extras = set(tomllib.loads(path.read_text("utf-8"))["project"]["optional-dependencies"])
    assert set(doctor._EXTRAS) == extras - {"all", "benchmarks", "dev", "docs"}
