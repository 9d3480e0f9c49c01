"""The command line: what it prints where, its exit codes, and what it makes of bad files."""

from __future__ import annotations

import gzip
import json
import struct
import subprocess
import sys
import tomllib
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

import tumorlens
from tests.cli.conftest import Run
from tumorlens import card as cards
from tumorlens.classifier import Classifier
from tumorlens.errors import MissingExtra
from tumorlens.model.weights import save_weights
from tumorlens.scan import Scan


@pytest.fixture
def predict(run: Run, tiny_weights: Path) -> Run:
    """Runs `tumorlens predict` with the tiny network."""
    return lambda *arguments: run("predict", "--weights", tiny_weights, *arguments)


@pytest.fixture
def png(tmp_path: Path, phantom_scan: Scan) -> Path:
    path = tmp_path / "good.png"
    Image.fromarray((phantom_scan.grey * 255).astype(np.uint8)).save(path)
    return path


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _write_matlab(path: Path) -> None:
    with h5py.File(path, "w", userblock_size=512) as file:
        file["cjdata/image"] = _noise(50, 60).astype(np.int16)
        file["cjdata/label"] = [[2.0]]
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(512))


def _write_dicom(path: Path, pixels: np.ndarray | None) -> None:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.PatientName, ds.PatientID, ds.Modality = "Doe^Jane", "P-4711", "MR"
    if pixels is not None:
        ds.Rows, ds.Columns = pixels.shape
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated = ds.BitsStored = 8
        ds.HighBit, ds.PixelRepresentation = 7, 0
        ds.PixelSpacing = [0.9, 0.9]
        ds.PixelData = pixels.tobytes()
        ds["PixelData"].VR = "OB"
    ds.save_as(path, enforce_file_format=True)


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1_000_000), 9))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def _write_nifti_bomb(path: Path) -> None:
    """A few bytes that announce, and inflate to, far more voxels than memory holds."""
    header = nib.Nifti1Header()
    header.set_data_shape((4000, 4000, 4000))
    header["vox_offset"] = 352
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4) + bytes(3_000_000)))


def _write_corrupt_png(path: Path) -> None:
    Image.fromarray(_noise(60, 60)).save(path)
    data = bytearray(path.read_bytes())
    data[60:400] = bytes(340)
    path.write_bytes(data)


def _write_truncated_png(path: Path) -> None:
    Image.fromarray(_noise(60, 60)).save(path)
    path.write_bytes(path.read_bytes()[:1500])


def _make_folder_without_scans(path: Path) -> None:
    path.mkdir()
    (path / "readme.txt").write_text("nothing here")


BAD: dict[str, Callable[[Path], object]] = {
    "empty.png": lambda path: path.write_bytes(b""),
    "truncated.png": _write_truncated_png,
    "corrupt.png": _write_corrupt_png,
    "zero-sized.png": lambda path: path.write_bytes(_png_header(0, 0)),
    "one-pixel.png": lambda path: Image.fromarray(_noise(1, 1)).save(path),
    "large.png": lambda path: path.write_bytes(_png_header(20_000, 20_000)),
    "bomb.png": lambda path: path.write_bytes(_png_header(2**30, 2**30)),
    "bomb.nii.gz": _write_nifti_bomb,
    "constant.png": lambda path: Image.new("L", (64, 64), 80).save(path),
    "nan.nii": lambda path: nib.save(nib.Nifti1Image(np.full((20, 20, 20), np.nan, np.float32), np.eye(4)), path),
    "4d.nii": lambda path: nib.save(nib.Nifti1Image(_noise(20, 20, 20, 3), np.eye(4)), path),
    "no-pixels.dcm": lambda path: _write_dicom(path, None),
    "text.png": lambda path: path.write_text("not a picture\n"),
    "missing.png": lambda path: None,
    "no-scans": _make_folder_without_scans,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_one_line_and_the_others_are_still_done(
    predict: Run, png: Path, tmp_path: Path, name: str
) -> None:
    BAD[name](tmp_path / name)
    code, out, err = predict(name, png, "--json", "--output", "out")
    assert code == 1
    (line,) = err.splitlines()
    assert line.startswith(f"error: {name}: ")
    problem, _, remedy = line.removeprefix(f"error: {name}: ").partition("; ")
    assert problem
    assert remedy, "says what is wrong, but not what to do"
    document = json.loads(out)
    assert [Path(f["source"]).name for f in document["findings"]] == ["good.png"]
    assert document["failures"] == [{"source": name, "error": f"{problem}; {remedy}"}]
    assert "Doe" not in out + err
    assert "P-4711" not in out + err


def test_every_format_is_found_in_files_and_folders(predict: Run, png: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    tinted = _noise(50, 60)[..., None] * np.array([1, 1, 0.95])
    Image.fromarray(tinted.astype(np.uint8)).save(folder / "a.jpg")
    Image.fromarray(_noise(50, 60)).save(folder / "b.bmp")
    Image.fromarray(_noise(50, 60).astype(np.uint16) * 16).save(folder / "c.tif")
    _write_dicom(folder / "d.dcm", _noise(50, 60))
    nib.save(nib.Nifti1Image(_noise(24, 28, 3), np.diag([2, 1, 4, 1])), folder / "e.nii.gz")
    _write_matlab(folder / "f.mat")
    code, out, err = predict(png, "study", "--json", "--output", "out", "--target", "glioma")
    assert (code, err) == (0, "")
    document = json.loads(out)
    found = [(Path(f["source"]).name, f["frame"]) for f in document["findings"]]
    assert [name for name, _ in found] == [
        "good.png", "a.jpg", "b.bmp", "c.tif", "d.dcm", "e.nii.gz", "e.nii.gz", "e.nii.gz", "f.mat",
    ]  # fmt: skip
    assert json.loads((tmp_path / "out" / "findings.json").read_text()) == document
    for finding in document["findings"]:
        heat = np.load(finding["heatmap"])
        assert heat.dtype == np.float32
        with Image.open(finding["overlay"]) as overlay:
            assert overlay.height == heat.shape[0]
        assert sum(finding["probabilities"].values()) == pytest.approx(1)
    assert any("colour" in w for w in document["findings"][1]["warnings"])


def test_json_is_one_document_of_the_promised_shape(predict: Run, png: Path) -> None:
    code, out, err = predict(png, "--json", "--target", "glioma")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert {"schema", "version", "weights", "findings", "failures"} <= set(document)
    assert (document["schema"], document["version"], document["failures"]) == (2, tumorlens.__version__, [])
    assert document["weights"]["name"] == "tiny"
    assert len(document["weights"]["sha256"]) == 64
    (finding,) = document["findings"]
    assert {"source", "frame", "label", "probabilities", "region", "heatmap", "overlay", "warnings"} <= set(finding)
    assert finding["heatmap"] is finding["overlay"] is None
    assert finding["explained"] == "glioma"
    assert set(finding["probabilities"]) == {"glioma", "meningioma", "pituitary", "no_tumor"}


def test_people_see_a_row_for_each_scan_on_stdout_and_the_rest_on_stderr(
    predict: Run, png: Path, tmp_path: Path
) -> None:
    code, out, err = predict("good.png", "--output", "out")
    assert code == 0
    head, row = out.splitlines()
    assert head.split()[:3] == ["scan", "finding", "region"]
    assert row.startswith("good.png ")
    assert "not a diagnosis" in err
    assert "findings.json are in out" in err
    quiet = predict("good.png", "--quiet")
    assert (quiet[0], quiet[2]) == (0, "")
    assert quiet[1].splitlines()[0] == head


def test_a_plane_is_chosen_by_axis(predict: Run, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(_noise(20, 24, 28), np.eye(4)), tmp_path / "v.nii")
    frames = {}
    for axis in ("axial", "coronal", "sagittal"):
        code, out, _ = predict("v.nii", "--json", "--no-explain", "--axis", axis)
        assert code == 0
        frames[axis] = len(json.loads(out)["findings"])
    assert frames == {"axial": 28, "coronal": 24, "sagittal": 20}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--axis", "oblique"], "--axis oblique: choose axial, coronal or sagittal"),
        (["--target", "edema"], "--target edema: choose one of glioma, meningioma, pituitary, no_tumor"),
        (["--device", "warp"], "no device 'warp' here; use --device cpu"),
        (["--output", "good.png"], "good.png: cannot be written (File exists); choose another --output"),
        (
            ["--output", "good.png/x"],
            "good.png/x: cannot be written (Not a directory); choose another --output",
        ),
        (["--weights", "resnet"], "resnet: no such weights; give a .safetensors file"),
        (["--weights", "good.png"], "good.json: the weights' card is missing"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(predict: Run, png: Path, arguments: list[str], said: str) -> None:
    code, out, err = predict("good.png", *arguments)
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"error: {said}")


@pytest.mark.parametrize("arguments", [["predict"], ["predict", "x", "--oops"], ["oops"], ["predict", "--json"]])
def test_a_call_the_command_line_does_not_know_exits_with_2(run: Run, arguments: list[str]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert "Usage: tumorlens" in err


def test_damaged_weights_are_one_line(predict: Run, tiny_weights: Path, png: Path) -> None:
    tiny_weights.write_bytes(tiny_weights.read_bytes()[:-1])
    code, out, err = predict(png, "--output", "out")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "is damaged or not the file its card describes; get the pair again" in err
    assert not Path("out").exists()


def test_info_lists_the_packages_weights(run: Run, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "SHIPPED", tiny_weights.parent)
    code, out, err = run("info", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert document["version"] == tumorlens.__version__
    assert [w["name"] for w in document["weights"]] == ["tiny"]
    code, out, _ = run("info")
    assert "knows brain MRI (MR), a slice at a time, in grey, from DICOM, NIfTI, MATLAB, picture" in out
    assert code == 0
    assert "tiny (cnn_lstm, 32 pixels)" in out
    assert "no tumour" in out


def test_info_shows_ones_own_weights(run: Run, tiny_weights: Path, tmp_path: Path) -> None:
    code, out, err = run("info", tiny_weights)
    assert (code, err) == (0, "")
    assert "tiny (cnn_lstm, 32 pixels)" in out
    assert [w["name"] for w in json.loads(run("info", tiny_weights, "--json")[1])["weights"]] == ["tiny"]
    code, _, err = run("info", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere" in err


def test_info_without_weights_says_so(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "SHIPPED", tmp_path)
    assert run("info") == (0, "", "there are no weights in the package; make some with: tumorlens train\n")


def test_a_missing_extra_says_which_command_brings_it() -> None:
    # As if it were not installed; in a process of its own, since here it may have been imported already.
    code = "import sys; sys.modules['lightning'] = None; from tumorlens.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "--data", "x"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"error: {MissingExtra('training', 'train')}\n"


_EXTRAS = """
import sys
for name in ("fsspec", "h5py", "httpx", "jinja2", "lightning", "matplotlib", "pyarrow", "scipy", "sklearn", "torch"):
    sys.modules[name] = None
from tumorlens.cli import main
main()
"""


def test_the_core_asks_for_no_more_than_twelve_packages() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert len(project["dependencies"]) <= 12


def test_the_core_reads_every_picture_and_explains_it_without_any_extra(tmp_path: Path, phantom_scan: Scan) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    pixels = (phantom_scan.grey * 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    _write_dicom(folder / "b.dcm", pixels)
    nib.save(nib.Nifti1Image(pixels.T[..., None], np.eye(4)), folder / "c.nii")
    _write_matlab(folder / "d.mat")
    done = subprocess.run(
        [sys.executable, "-c", _EXTRAS, "predict", folder, "-w", "cnn_lstm_attention_fast", "--json", "-o", out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == (
        f"error: {folder}/d.mat: reading Cheng's MATLAB files needs packages that are not installed; "
        "run in your clone of TumorLens: pip install '.[train]'\n"
    )
    assert done.returncode == 1
    findings = json.loads(done.stdout)["findings"]
    assert [Path(f["source"]).name for f in findings] == ["a.png", "b.dcm", "c.nii"]
    assert all(Path(f["overlay"]).is_file() and Path(f["heatmap"]).is_file() for f in findings)
    assert {p.name for p in out.iterdir() if p.suffix != ".png" and p.suffix != ".npy"} == {
        "results.csv",
        "studies.csv",
        "findings.json",
    }
    assert len((out / "results.csv").read_text().splitlines()) == 5


def test_a_url_names_the_extra_it_takes() -> None:
    code = "import sys; sys.modules['fsspec'] = None; from tumorlens.cli import main; main()"
    command = [sys.executable, "-c", code, "predict", "s3://bucket/scans", "-w", "cnn_lstm_attention_fast"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"error: {MissingExtra('reading and writing at URLs', 'batch')}\n"


def test_ctrl_c_exits_with_130(predict: Run, png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tumorlens.batch.run", interrupt)
    code, out, err = predict(png)
    assert (code, out) == (130, "")
    assert "Traceback" not in err


def test_as_a_process_stdout_holds_json_alone_and_no_traceback_shows(
    tiny_classifier: Classifier, tmp_path: Path
) -> None:
    save_weights(tiny_classifier.network, tiny_classifier.card, tmp_path / "w.safetensors")
    Image.fromarray(_noise(40, 40)).save(tmp_path / "good.png")
    for name in ("empty.png", "corrupt.png", "bomb.nii.gz"):
        BAD[name](tmp_path / name)
    command = [sys.executable, "-c", "from tumorlens.cli import main; main()"]
    command += ["predict", ".", "-w", "w.safetensors", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert len(json.loads(done.stdout)["findings"]) == 1
    told = [line for line in done.stderr.splitlines() if not line.startswith("reading scans: ")]  # on a slow machine
    assert len(told) == 3
    assert all(line.startswith("error: ") for line in told)


def test_another_kind_of_heat_map_can_be_asked_for_and_a_wrong_one_is_refused(predict: Run, png: Path) -> None:
    code, out, _ = predict(png, "--json", "--target", "glioma", "--heat-map", "layercam")
    assert (code, json.loads(out)["findings"][0]["method"]) == (0, "layercam")
    code, _, err = predict(png, "--heat-map", "attention")
    assert code == 2
    assert "choose one of gradcam" in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_told_in_a_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "tumorlens",
                "predict",
                str(Path(tumorlens.__file__).parent / "phantoms" / "example.png"),
                "-w",
                "cnn_lstm",
                "--json",
            ],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("error: no space is left")
    assert "Traceback" not in done.stderr
