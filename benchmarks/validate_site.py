"""A validation at a hospital that does not exist: phantoms as DICOM files, laid out as a hospital would have them.

    python benchmarks/validate_site.py /tmp/hospital                       # lays out and validates cnn_lstm
    python benchmarks/validate_site.py /tmp/hospital --weights runs/demo   # another run's

Class folders, patients, series of neighbouring slices, sex, age, scanner and field strength in the headers; and what
goes wrong in hospitals: truncated files, a report among the pictures, a slice sent twice, a class the network does not
know. Prints where the report is and the headline figures in Markdown. Everything is synthetic.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tumorlens.data.manifest import SYNTHETIC
from tumorlens.evaluation.metrics import Estimate
from tumorlens.evaluation.site.validate import validate_site
from tumorlens.listener import Listener
from tumorlens.phantoms.phantom import Phantom, make_phantoms

SCANNERS = (("Acme Medical", "Halo 15", 1.5), ("Acme Medical", "Halo 30", 3.0), ("Borealis", "Aurora", 2.89362))


def write_dicom(phantom: Phantom, path: Path, number: int, patient: np.random.Generator) -> None:
    """Writes a phantom as an MR image, with the facts that its patient's generator draws."""
    pixels = np.round(phantom.scan.pixels * 4095).astype(np.uint16)
    spacing = phantom.scan.spacing or (1.0, 1.0)
    maker, model, tesla = SCANNERS[patient.integers(len(SCANNERS))]
    age, sex = int(np.clip(patient.normal(58, 17), 18, 94)), "FM"[patient.integers(2)]
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    ds.StudyInstanceUID = generate_uid(entropy_srcs=[f"study {phantom.scan.patient}"])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=[f"series {phantom.scan.series}"])
    ds.PatientID, ds.PatientName = f"SYN-{phantom.scan.patient}", f"Phantom^{phantom.scan.patient}"
    ds.PatientSex, ds.PatientAge, ds.StudyDate = sex, f"{age:03d}Y", "20260302"
    ds.Manufacturer, ds.ManufacturerModelName, ds.MagneticFieldStrength = maker, model, tesla
    ds.Modality, ds.InstanceNumber = "MR", number
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelSpacing = [round(float(s), 6) for s in spacing]
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    ds.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def lay_out(folder: Path, count: int, *, size: int = 128, seed: int = 7) -> None:
    """Writes a hospital's folder: class / patient / series / slices, and what goes wrong in hospitals."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SYNTHETIC).write_text("Every picture in this folder is synthetic: drawn by a computer, of no patient.\n")
    patients: dict[str, int] = {}
    paths = []
    for phantom in make_phantoms(count, size=size, seed=seed):
        number = patients.setdefault(str(phantom.scan.patient), len(patients))
        series = folder / phantom.label / f"P{number:03d}" / f"S{phantom.scan.series}"
        path = series / f"IM{len(paths):05d}.dcm"
        write_dicom(phantom, path, len(paths), np.random.default_rng([seed, number]))
        paths.append(path)
    for path in paths[:: max(1, count // 5)]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for path in paths[3 :: max(4, count // 4)]:
        path.with_name(f"{path.stem}-sent-again.dcm").write_bytes(path.read_bytes())
    for number, phantom in enumerate(itertools.islice(make_phantoms(6, size=size, seed=seed + 1), 6)):
        write_dicom(phantom, folder / "metastasis" / f"IM{number}.dcm", number, np.random.default_rng([seed, 9999]))
    (folder / "glioma" / "report.txt").write_text("No picture, but it lies here.\n")
    write_dicom(next(make_phantoms(1, size=size, seed=seed + 2)), folder / "unsorted.dcm", 0, np.random.default_rng(0))


def shown(estimate: Estimate) -> str:
    """A figure with its interval."""
    if estimate.value is None:
        return "undefined"
    return f"{estimate.value:.3f}" + (f" ({estimate.low:.3f}–{estimate.high:.3f})" if estimate.low is not None else "")


def main() -> None:
    """Lays out the hospital if it is not there, validates, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the hospital's files and the report go")
    parser.add_argument("--weights", default="cnn_lstm", help="cnn_lstm knows phantoms from its training")
    parser.add_argument("--count", type=int, default=800, help="slices")
    arguments = parser.parse_args()
    hospital = arguments.folder / "synthetic-hospital"
    if not hospital.exists():
        lay_out(hospital, arguments.count)
    report = arguments.folder / "validation"
    found = validate_site(
        arguments.weights, [hospital], report, listener=Listener(lambda text: print(f"  {text}", flush=True))
    )
    print("\n| figure | here | card |\n| --- | --- | --- |")
    for c in found.comparisons:
        print(f"| {c.name} | {shown(c.here)} | {shown(c.promised)} |")
    if found.scores.detection:
        print(f"| tumour against none: sensitivity | {shown(found.scores.detection.sensitivity)} | – |")
        print(f"| tumour against none: specificity | {shown(found.scores.detection.specificity)} | – |")
    print(f"\n{report / 'validation.html'}")


if __name__ == "__main__":
    main()
