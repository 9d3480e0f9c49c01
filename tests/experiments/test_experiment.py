"""An experiment from data sets to report, on pictures that a tiny network tells apart."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tests.experiments.conftest import QUICK, write_set
from tests.pictures import draw
from tumorlens.card import read_card
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices, load_slices
from tumorlens.data.manifest import Entry, Manifest, pseudonym, read_manifest
from tumorlens.data.split import Split
from tumorlens.errors import DataError, ModelError
from tumorlens.evaluation.metrics import Scores
from tumorlens.experiments.experiment import Experiment, cautions, evaluate_weights, make_split
from tumorlens.formats import read_scans
from tumorlens.listener import Listener
from tumorlens.overlay import draw_scan
from tumorlens.phantoms.phantom import make_phantoms
from tumorlens.preprocess import Preprocessing
from tumorlens.training.config import TrainConfig, read_config
from tumorlens.training.run import Run


def test_another_folder_gets_the_test_and_leaves_the_runs_own_as_it_was(
    done: tuple[Run, Scores, list[str]], tmp_path: Path
) -> None:
    run, scores, _ = done
    own = run.folder / "evaluation" / "metrics.json"
    before = own.stat().st_mtime_ns, run.weights.with_suffix(".json").stat().st_mtime_ns
    assert Experiment.load(run).test(tmp_path / "other").accuracy == scores.accuracy
    assert (tmp_path / "other" / "report.html").is_file()
    assert before == (own.stat().st_mtime_ns, run.weights.with_suffix(".json").stat().st_mtime_ns)


def test_scores_are_those_of_the_test_part(done: tuple[Run, Scores, list[str]]) -> None:
    run, scores, _ = done
    tested = {name for name, part in run.read_parts().items() if part == "test"}
    with (run.folder / "evaluation" / "predictions.csv").open() as file:
        assert {row["path"] for row in csv.DictReader(file)} == tested
    assert scores.n == len(tested)
    assert scores.groups == len({f"{int(n.split('/')[1][:-4]) // 8}-{n[0]}" for n in tested})


def test_the_card_carries_data_split_and_scores(done: tuple[Run, Scores, list[str]]) -> None:
    run, scores, _ = done
    card = read_card(run.weights)
    assert card.name == "quick"
    assert card.data == "easy: 80 scans (20 glioma, 20 meningioma, 20 pituitary, 20 no_tumor)"
    parts = list(run.read_parts().values())
    assert card.split == "grouped, by patient, seed 0: " + ", ".join(
        f"{parts.count(p)} {p}" for p in ("train", "validation", "test")
    )
    assert card.cautions == ()
    assert card.scores["n"] == scores.n
    for name in ("accuracy", "macro_f1", "macro_auc"):
        assert card.scores[name] == getattr(scores, name).model_dump()


def test_the_report_is_written_and_figures_agree(done: tuple[Run, Scores, list[str]]) -> None:
    run, scores, said = done
    folder = run.folder / "evaluation"
    assert json.loads((folder / "metrics.json").read_text())["n"] == scores.n
    page = (folder / "report.html").read_text()
    assert "quick: cnn_lstm on easy" in page
    assert read_card(run.weights).sha256 in page
    assert any(s.startswith("training on ") for s in said)


def test_done_already_is_not_done_again(done: tuple[Run, Scores, list[str]]) -> None:
    run, scores, _ = done
    before, epochs = run.weights.read_bytes(), []
    again = Experiment.load(run, Listener(epoch=lambda row, total: epochs.append(row))).complete()
    assert epochs == []
    assert run.weights.read_bytes() == before
    assert again == scores


def test_no_patient_is_in_two_parts(done: tuple[Run, Scores, list[str]]) -> None:
    run, _, _ = done
    with (run.folder / "split.csv").open() as file:
        parts = {(row["group"], row["part"]) for row in csv.DictReader(file)}
    assert len(parts) == len({group for group, _ in parts})


def test_colour_and_other_classes_take_the_same_path(tmp_path: Path) -> None:
    keys = ("covid", "healthy", "other lung")
    folder = write_set(tmp_path / "lungs", keys, colour=True)
    settings = QUICK | {"preprocessing": {"size": 16, "channels": 3}, "epochs": 1, "split": "random"}
    run = Run.create(tmp_path / "run", read_config(None, settings), [folder])
    scores = Experiment.load(run).complete()
    assert [c.key for c in scores.classes] == list(keys)
    (finding,) = Classifier.load(run.folder).find(read_scans(folder / "covid" / "0.png"), target="covid")
    assert set(finding.probabilities) == set(keys)
    assert finding.heatmap.shape == (24, 24)
    page = (run.folder / "evaluation" / "report.html").read_text()
    assert "other lung" in page
    assert "share their patient" in page


def test_a_test_part_that_lacks_a_class(tmp_path: Path, easy: Path) -> None:
    run = Run.create(tmp_path / "run", read_config(None, QUICK | {"epochs": 1, "split": "publisher"}), [easy])
    scores = Experiment.load(run).complete()
    assert [c.support for c in scores.classes] == [8, 8, 0, 0]
    assert scores.classes[2].auc.value is None
    assert (run.folder / "evaluation" / "report.html").exists()


def write_dicom(path: Path, patient: str, pixels: np.ndarray) -> None:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.PatientID, ds.PatientName, ds.SeriesInstanceUID, ds.Modality = patient, "Doe^Jane", "1.2.34567.8", "MR"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OB"
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def test_no_patient_is_named_anywhere(tmp_path: Path) -> None:
    rng, folder = np.random.default_rng(0), tmp_path / "dicom"
    for number in range(48):
        kind = number % 2
        patient = f"MRN-{kind}{number // 4}"
        write_dicom(folder / ("glioma", "notumor")[kind] / f"{number}.dcm", patient, draw(kind, rng))
    (folder / "glioma" / "broken.dcm").write_bytes((folder / "glioma" / "0.dcm").read_bytes()[:600])
    said: list[str] = []
    run = Run.create(tmp_path / "run", read_config(None, QUICK | {"epochs": 1}), [folder])
    Experiment.load(run, Listener(say=said.append)).complete()
    assert any("broken.dcm" in s for s in said)
    written = {p: p.read_bytes() for p in run.folder.rglob("*") if p.is_file()}
    for secret in ("MRN-", "Doe^Jane", "1.2.34567.8"):
        assert not [p for p, content in written.items() if secret.encode() in content]
        assert not [s for s in said if secret in s]
    assert pseudonym("MRN-00").encode() in written[run.folder / "split.csv"]


@pytest.fixture
def make_slices() -> Callable[..., Slices]:
    """Makes slices of nothing: only entries and labels matter."""

    def make(groups: Sequence[str], unit: str = "patient", synthetic: bool = False) -> Slices:
        entries = tuple(
            Entry(Path(f"/x/{i}.png"), f"{i}.png", BRAIN_TUMORS.keys[i % 4], group=g) for i, g in enumerate(groups)
        )
        labels = np.arange(len(entries)) % 4
        manifest = Manifest(entries, BRAIN_TUMORS, unit, synthetic)
        return Slices(np.zeros((len(entries), 1, 16, 16), np.float32), labels, manifest)

    return make


HALVES = Split(np.arange(4), np.arange(4, 6), np.arange(6, 10))


def test_nothing_speaks_against_a_split_that_was_checked(make_slices: Callable[..., Slices]) -> None:
    assert cautions(make_slices([str(i) for i in range(10)]), HALVES, TrainConfig()) == []


def test_the_share_of_leaked_scans_is_named(make_slices: Callable[..., Slices]) -> None:
    groups = ["a", "b", "c", "d", "e", "f", "a", "f", "a", "z"]
    (caution,) = cautions(make_slices(groups, "duplicate group"), HALVES, TrainConfig())
    assert caution.startswith("75% of the test scans share their duplicate group with a scan the network was trained")


def test_scans_of_unknown_patients_are_named(make_slices: Callable[..., Slices]) -> None:
    (caution,) = cautions(make_slices([None] * 10, "scan"), HALVES, TrainConfig())
    assert caution.startswith("Nothing in the data says which scans belong to one patient")
    mixed = ["a", *[None] * 4, "f", "a", "f", "h", "i"]
    unknown, leaked = cautions(make_slices(mixed, "patient or scan"), HALVES, TrainConfig())
    assert unknown.startswith("For 40% of the scans, nothing says which scans belong to one patient")
    assert leaked.startswith("50% of the test scans")


def test_synthetic_data_and_the_users_own_cautions(make_slices: Callable[..., Slices]) -> None:
    slices = make_slices([str(i) for i in range(10)], synthetic=True)
    found = cautions(slices, HALVES, TrainConfig(cautions=("Mixed sources.",)))
    assert found == ["Mixed sources.", "Made of phantoms: the figures say nothing about real patients."]


@pytest.fixture(scope="module")
def slices(easy: Path) -> Slices:
    return load_slices(read_manifest(easy), Preprocessing(size=16))


def test_the_publishers_split(slices: Slices) -> None:
    split = make_split(slices, TrainConfig(split="publisher"))
    assert {slices.manifest.entries[i].split for i in split.test} == {"testing"}
    assert {slices.manifest.entries[i].split for i in (*split.train, *split.validation)} == {"training"}


def test_a_fold_is_the_test(slices: Slices) -> None:
    tested = [set(make_split(slices, TrainConfig(split=f"fold:{k}")).test.tolist()) for k in range(5)]
    assert sorted(i for part in tested for i in part) == list(range(80))


def test_random_tears_patients_apart_and_grouped_does_not(slices: Slices) -> None:
    def torn(kind: str) -> set[str]:
        split = make_split(slices, TrainConfig(split=kind))
        return {slices.groups[i] for i in split.test} & {slices.groups[i] for i in split.train}

    assert torn("random")
    assert not torn("grouped")


@pytest.mark.parametrize("kind", ["publisher", "fold:9"])
def test_a_split_the_data_do_not_have(slices: Slices, kind: str) -> None:
    entries = tuple(replace(e, split=None) for e in slices.manifest.entries)
    bare = replace(slices, manifest=replace(slices.manifest, entries=entries))
    with pytest.raises(DataError, match=f"no scan belongs to the test part of the split '{kind}'; try --split grouped"):
        make_split(bare, TrainConfig(split=kind))


def test_weights_are_tested_on_all_scans_or_a_part(
    tmp_path: Path, easy: Path, done: tuple[Run, Scores, list[str]]
) -> None:
    run, _, _ = done
    for split, count in (("all", 80), ("fold:1", 16)):
        scores = evaluate_weights(str(run.folder), [easy], split, tmp_path / split[:4], Listener())
        assert scores.n == count
    page = (tmp_path / "all" / "report.html").read_text()
    assert "easy: 80 scans" in page
    assert f"--data {easy} --split all" in page


def test_scans_that_trained_the_weights_are_counted_where_that_is_known(
    tmp_path: Path, easy: Path, done: tuple[Run, Scores, list[str]]
) -> None:
    run, listener = Run(tmp_path / "run"), Listener()
    shutil.copytree(done[0].folder, run.folder)
    trained = sum(part != "test" for part in run.read_parts().values())
    scores = evaluate_weights(str(run.folder), [easy], "all", tmp_path / "known", listener)
    assert f"{trained} of these 80 scans trained the weights" in (tmp_path / "known" / "report.html").read_text()
    assert "how well they are remembered" in scores.notes[0]  # which the command line prints
    others = tmp_path / "others"
    for number, phantom in enumerate(make_phantoms(8, size=64, seed=9)):
        (others / phantom.label).mkdir(parents=True, exist_ok=True)
        draw_scan(phantom.scan).save(others / phantom.label / f"{number}.png")
    evaluate_weights(str(run.folder), [others], "all", tmp_path / "new", listener)
    assert "None of these scans trained the weights" in (tmp_path / "new" / "report.html").read_text()
    run.weights.with_suffix(".fingerprints").unlink()
    evaluate_weights(str(run.folder), [easy], "all", tmp_path / "untold", listener)
    page = (tmp_path / "untold" / "report.html").read_text()
    assert "Whether these scans stood in the training data is not known here" in page


def test_a_part_that_is_empty(tmp_path: Path, easy: Path, done: tuple[Run, Scores, list[str]]) -> None:
    with pytest.raises(DataError, match="no scan belongs to --split fold:7; try --split all"):
        evaluate_weights(str(done[0].folder), [easy], "fold:7", tmp_path / "out", Listener())
    assert not (tmp_path / "out").exists()


def test_labels_the_weights_do_not_know(tmp_path: Path, done: tuple[Run, Scores, list[str]]) -> None:
    folder = write_set(tmp_path / "lungs", ("covid", "healthy"))
    with pytest.raises(DataError, match="the class 'covid' is none of glioma, meningioma, pituitary, no_tumor"):
        evaluate_weights(str(done[0].folder), [folder], "all", tmp_path / "out", Listener())


def test_scans_of_one_class_cannot_be_scored(tmp_path: Path, easy: Path, done: tuple[Run, Scores, list[str]]) -> None:
    folder = tmp_path / "one"
    (folder / "glioma").mkdir(parents=True)
    for path in sorted((easy / "glioma").iterdir())[:4]:
        (folder / "glioma" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="all scans are of one class"):
        evaluate_weights(str(done[0].folder), [folder], "all", tmp_path / "out", Listener())


def test_weights_that_are_not_there(tmp_path: Path, easy: Path) -> None:
    with pytest.raises(ModelError, match="no such weights"):
        evaluate_weights(str(tmp_path / "none"), [easy], "all", tmp_path / "out", Listener())
