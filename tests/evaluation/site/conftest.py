from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from tumorlens.classifier import Classifier
from tumorlens.evaluation.site.validate import validate_site
from tumorlens.evaluation.site.validation import Validation
from tumorlens.listener import Listener
from tumorlens.model.weights import save_weights
from tumorlens.phantoms.phantom import make_phantoms
from tumorlens.scan import Scan


def write_dicom(path: Path, scan: Scan, number: int, **elements: object) -> None:
    pixels = np.round(scan.pixels * 4095).astype(np.uint16)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.PatientName, ds.Modality, ds.InstanceNumber = "DOE^Jane", "MR", number
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="session")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 good slices of 8 patients, and what goes wrong in hospitals."""
    folder = tmp_path_factory.mktemp("data") / "our-hospital"
    for i, phantom in enumerate(make_phantoms(32, size=64, slices_per_series=4)):
        patient = i % 8
        write_dicom(
            folder / phantom.label / f"DOE_Jane_{patient}" / f"{i}.dcm",
            phantom.scan,
            i,
            PatientID=f"MRN-4711-{patient}",
            PatientSex="FM"[patient % 2],
            PatientBirthDate="19600229",
            StudyDate="20260303",
            Manufacturer="Acme",
            ManufacturerModelName="Halo",
            MagneticFieldStrength=2.89,
        )
    good = folder / "glioma" / "DOE_Jane_0" / "0.dcm"
    (folder / "glioma" / "DOE_Jane_0" / "again.dcm").write_bytes(good.read_bytes())
    (folder / "glioma" / "DOE_Jane_0" / "cut.dcm").write_bytes(good.read_bytes()[:-2000])
    (folder / "DOE^Jane").mkdir()
    (folder / "DOE^Jane" / "x.dcm").write_bytes(good.read_bytes())
    (folder / "loose.dcm").write_bytes(good.read_bytes())
    (folder / "readme.txt").write_text("no scan")
    return folder


@pytest.fixture(scope="session")
def weights(tiny_classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights whose card promises much."""
    promised = {"accuracy": {"value": 0.98, "low": 0.96, "high": 0.99}, "macro_auc": {"value": 0.99}}
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(tiny_classifier.network, tiny_classifier.card.model_copy(update={"scores": promised}), path)
    return path


@pytest.fixture(scope="session")
def validated(
    hospital: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Validation, Path, list[str]]:
    folder = tmp_path_factory.mktemp("out") / "validation"
    said: list[str] = []
    return validate_site(weights, [hospital], folder, listener=Listener(said.append)), folder, said
