"""Cross-validation: folds that leak nothing, one score, resumable."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tumorlens.card import read_card
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.data.manifest import Entry, Manifest, read_manifest
from tumorlens.errors import ConfigError, DataError
from tumorlens.experiments.crossvalidation import CrossValidation, crossvalidate, one_per_group, with_folds
from tumorlens.listener import Listener
from tumorlens.phantoms.dataset import write_phantoms
from tumorlens.scan import Scan
from tumorlens.training.config import TrainConfig

QUICK = TrainConfig(epochs=1, batch_size=16, options={"widths": [4, 8], "depth": 1, "hidden": 8})


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "phantoms"
    write_phantoms(folder, 80, size=64, seed=1)
    return folder


@pytest.fixture(scope="module")
def done(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CrossValidation]:
    folder = tmp_path_factory.mktemp("done") / "cv"
    return folder, crossvalidate([phantoms], QUICK, folder, folds=2)


def slices(groups: list[str | None], folds: list[int | None], unit: str = "patient") -> Slices:
    entries = tuple(
        Entry(Path(f"{i}.png"), f"{i}.png", BRAIN_TUMORS.keys[i % 4], group=g, fold=f)
        for i, (g, f) in enumerate(zip(groups, folds, strict=True))
    )
    labels = np.arange(len(entries), dtype=np.int64) % 4
    images = np.zeros((len(entries), 1, 16, 16), np.float32)
    return Slices(images, labels, Manifest(entries, BRAIN_TUMORS, unit))


def test_every_scan_is_tested_once_and_no_patient_on_both_sides(
    phantoms: Path, done: tuple[Path, CrossValidation]
) -> None:
    folder, found = done

    assert found.pooled.n == 80 == sum(s.n for s in found.folds.values())
    assert found.pooled.groups == len({e.group for e in read_manifest(phantoms).entries})
    assert found.publisher is None
    assert found.leakage == {}
    for fold in range(2):
        rows = (folder / f"fold-{fold}" / "split.csv").read_text().splitlines()[1:]
        parts = {(row.split(",")[2], row.split(",")[3] == "test") for row in rows}
        assert len(parts) == len({group for group, _ in parts}), "a patient is on both sides"


def test_a_second_call_trains_nothing(phantoms: Path, done: tuple[Path, CrossValidation]) -> None:
    folder, found = done
    trained = []

    again = crossvalidate([phantoms], QUICK, folder, folds=2, listener=Listener(epoch=lambda e, _: trained.append(e)))

    assert trained == []
    assert again == found


def test_an_interrupted_one_goes_on_with_the_fold_it_was_in(
    phantoms: Path, done: tuple[Path, CrossValidation], tmp_path: Path
) -> None:
    told = []

    def stop(_epoch: object, _total: int) -> None:
        told.append(1)
        if len(told) == 2:
            raise OSError("the power went")

    with pytest.raises(OSError, match="power"):
        crossvalidate([phantoms], QUICK, tmp_path / "cut", folds=2, listener=Listener(epoch=stop))
    resumed = crossvalidate([phantoms], QUICK, tmp_path / "cut", folds=2)

    assert resumed.pooled == done[1].pooled


def test_other_settings_do_not_mix_with_old_folds(phantoms: Path, done: tuple[Path, CrossValidation]) -> None:
    with pytest.raises(ConfigError, match="other settings"):
        crossvalidate([phantoms], QUICK.model_copy(update={"epochs": 2}), done[0], folds=2)


def test_the_publishers_split_stands_beside_the_folds(phantoms: Path, tmp_path: Path) -> None:
    manifest = read_manifest(phantoms)
    entries = tuple(
        replace(e, split="testing" if i % 5 == 0 else "training", fold=hash_of(e.group) % 2, source="ab"[i % 2])
        for i, e in enumerate(manifest.entries)
    )
    table = phantoms / "with_split.csv"
    replace(manifest, entries=entries).write(table)

    found = crossvalidate([table], QUICK, tmp_path / "cv")

    assert found.publisher is not None
    assert found.publisher.n == 16
    accuracy = found.publisher.accuracy.value
    assert accuracy is not None
    assert found.pooled.accuracy.value is not None
    assert found.leakage["accuracy"] == pytest.approx(accuracy - found.pooled.accuracy.value)
    assert set(found.sources) == {"a", "b"}
    assert sum(s.n for s in found.sources.values()) == found.pooled.n


def hash_of(group: str | None) -> int:
    return sum(map(ord, group or ""))


def test_folds_that_tear_a_group_apart_are_refused_by_name() -> None:
    torn = slices(["a", "a", "b", "b"], [0, 1, 0, 0])

    with pytest.raises(DataError, match=r"0\.png is in fold 0, 1\.png in fold 1"):
        with_folds(torn, 5, 0)


def test_folds_for_some_scans_only_are_refused() -> None:
    with pytest.raises(DataError, match="1 of 4 scans have no fold"):
        with_folds(slices(["a", "b", "c", "d"], [0, 1, None, 0]), 5, 0)


def test_one_scan_of_each_duplicate_group_but_all_of_a_patient() -> None:
    scans = slices(["p", "p", "p", None], [0] * 4)
    entries = [replace(e, duplicate_group=d) for e, d in zip(scans.manifest.entries, "aab ", strict=True)]
    entries[3] = replace(entries[3], duplicate_group=None)

    assert len(one_per_group(scans)) == 4
    assert len(one_per_group(replace(scans, manifest=replace(scans.manifest, entries=tuple(entries))))) == 3


@pytest.fixture(scope="module")
def finished(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CrossValidation]:
    folder = tmp_path_factory.mktemp("finished") / "cv"
    return folder, crossvalidate([phantoms], WHOLE, folder, folds=2, final=True)


WHOLE = QUICK.model_copy(
    update={
        "model": "cnn_lstm_attention",
        "options": {"widths": [4, 6], "depths": [0, 0], "maps": 6, "hidden": 4, "dense": 6},
        "validation": 0,
        "epochs": 2,
        "name": "whole",
    }
)


def test_without_validation_parts_each_fold_is_calibrated_on_what_the_others_held_out(
    finished: tuple[Path, CrossValidation],
) -> None:
    folder, found = finished
    for fold in range(2):
        card = read_card(folder / f"fold-{fold}" / "weights.safetensors")
        others = found.folds[1 - fold].n
        assert card.calibration is not None
        assert card.calibration.fitted_on == "out-of-fold"
        assert sum(card.calibration.scans.values()) == others
        assert card.heat_map is not None
        assert card.heat_map.method == "contributions"
        assert 0 < card.heat_map.scans < others  # phantoms without a tumour have no outline
        assert card.training["best_epoch"] == 2
        parts = [row.rsplit(",", 1)[1] for row in (folder / f"fold-{fold}" / "split.csv").read_text().split()[1:]]
        assert (parts.count("validation"), parts.count("train")) == (0, others)
        page = (folder / f"fold-{fold}" / "evaluation" / "report.html").read_text()
        assert f"fitted on {others} out-of-fold scans" in page
    assert all(s.calibrated for s in found.folds.values())


def test_weights_trained_on_all_folds_are_vouched_for_by_the_folds(finished: tuple[Path, CrossValidation]) -> None:
    folder, found = finished
    card, classifier = read_card(folder / "final" / "weights.safetensors"), Classifier.load(folder / "final")
    assert card.name == "whole"
    assert card.calibration is not None
    assert sum(card.calibration.scans.values()) == 80
    assert card.scores["n"] == found.pooled.n == 80
    assert card.scores["accuracy"] == found.pooled.accuracy.model_dump()
    assert "all 80 scans" in card.split
    assert "out-of-fold" in card.split
    assert classifier.gate is not None
    (finding,) = classifier.find([Scan(np.eye(64, dtype=np.float32), source="made up")])
    assert finding.unknown
    assert all(classifier.prediction_sets(np.full((1, 4), 0.25)))


def test_what_is_finished_is_not_trained_again_and_the_last_weights_stay(
    phantoms: Path, finished: tuple[Path, CrossValidation]
) -> None:
    folder, found = finished
    before = read_card(folder / "final" / "weights.safetensors")
    trained: list[object] = []
    listener = Listener(epoch=lambda e, _: trained.append(e))
    again = crossvalidate([phantoms], WHOLE, folder, folds=2, final=True, listener=listener)
    assert trained == []
    assert again == found
    assert read_card(folder / "final" / "weights.safetensors") == before


def test_a_kill_between_training_and_calibration_loses_nothing(
    phantoms: Path, finished: tuple[Path, CrossValidation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("tumorlens.experiments.experiment.save_weights", kill)
        with pytest.raises(OSError, match="killed"):
            crossvalidate([phantoms], WHOLE, tmp_path / "cv", folds=2, final=True)
    resumed = crossvalidate([phantoms], WHOLE, tmp_path / "cv", folds=2, final=True)
    assert resumed.pooled == finished[1].pooled


def test_weights_on_all_folds_need_settings_without_a_validation_part(phantoms: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="validation=0"):
        crossvalidate([phantoms], QUICK, tmp_path / "cv", folds=2, final=True)
    assert not (tmp_path / "cv").exists()
