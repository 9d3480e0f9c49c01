"""A rehearsal without a hospital: studies of phantoms, an analysis that pretends, an archive that remembers.

The tests and benchmarks of the node use it. `python -m tumorlens.hospital.rehearsal node.yaml FOLDER` runs a node whose
analysis pretends: it waits while FOLDER has a file named "hold", and adds a line to FOLDER/analysed for each study.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    MRImageStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, build_context, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from tumorlens.hospital.config import read_node_config
from tumorlens.hospital.isolation import Analyse
from tumorlens.hospital.node import Node
from tumorlens.hospital.receiver import quieten

_MOST = 120  # presentation contexts of a rehearsed sender


def make_instance(study: str, number: int = 1, *, size: int = 64, **elements: Any) -> Dataset:
    """An axial MR slice of a phantom patient: an ellipse with noise.

    Args:
        study: What its UIDs are made of: the same, the same study.
        number: InstanceNumber.
        size: Rows and columns.
        elements: Attributes to set, or with None to leave out.
    """
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = MRImageStorage
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = _uid(study, "instance", number)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = _uid(study), _uid(study, "series")
    ds.FrameOfReferenceUID = _uid(study, "frame")
    ds.PatientName, ds.PatientID = "Phantom^Node", "PHANTOM-1"
    ds.PatientBirthDate, ds.PatientSex = "", "O"
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = time.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = "120000"
    ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "1", "", ""
    ds.Modality, ds.Manufacturer, ds.SeriesDescription = "MR", "Phantom", "T1 axial"
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M"]
    ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-size / 2, -size / 2, 2.0 * number]
    ds.PixelSpacing, ds.SliceThickness = [1.0, 1.0], 2.0
    ds.Rows = ds.Columns = size
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = _slice(size, number).tobytes()
    for keyword, value in elements.items():
        if value is None:
            del ds[keyword]
        else:
            setattr(ds, keyword, value)
    return ds


def write_study(folder: Path, study: str, slices: int, **options: Any) -> list[Path]:
    """Writes a study of such slices; gives its files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(1, slices + 1):
        paths.append(folder / f"{number:04d}.dcm")
        make_instance(study, number, **options).save_as(paths[-1], enforce_file_format=True)
    return paths


def pretend(paths: Sequence[Path]) -> list[Dataset]:
    """An `Analyse` that looks at nothing: one Secondary Capture a study, its UID made of the instances' UIDs."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
    first = headers[0]
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = generate_uid(entropy_srcs=["result", *sorted(str(h.SOPInstanceUID) for h in headers)])
    ds.StudyInstanceUID = first.StudyInstanceUID
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["results", str(ds.SOPInstanceUID)])
    for keyword in ("PatientName", "PatientID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"):
        setattr(ds, keyword, first.get(keyword, ""))
    ds.PatientBirthDate = ds.PatientSex = ds.ReferringPhysicianName = ""
    ds.Modality, ds.ConversionType, ds.SeriesDescription = "OT", "WSD", "Rehearsal"
    ds.SeriesNumber, ds.InstanceNumber = 901, 1
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.Rows = ds.Columns = 32
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = bytes(32 * 32)
    return [ds]


def prepare_pretend(folder: Path | None = None) -> Analyse:
    """What makes `pretend` of a node.

    Args:
        folder: It waits while "hold" is in it, and notes each study that it has analysed in "analysed".
    """

    def run(paths: Sequence[Path]) -> list[Dataset]:
        while folder is not None and (folder / "hold").exists():
            time.sleep(0.02)
        results = pretend(paths)
        if folder is not None:
            with (folder / "analysed").open("a") as file:
                file.write(f"{results[0].StudyInstanceUID} {len(paths)}\n")
        return results

    return run


class Archive:
    """A PACS that keeps count, in memory.

    Args:
        title: Its AE title.
        port: TCP port; 0 takes a free one.
        answer: Called with the SOPInstanceUID of each C-STORE; gives the status to answer. It may wait.
        commits_to: Address and AE title of a node that asks for storage commitment; it is told in a new association.
        lost: SOPInstanceUIDs that storage commitment is refused for, once each.

    Attributes:
        stored: By SOPInstanceUID, how often it was stored.
        port: The TCP port.
    """

    def __init__(
        self,
        title: str = "ARCHIVE",
        port: int = 0,
        answer: Callable[[str], int] = lambda _: 0x0000,
        commits_to: tuple[str, int, str] | None = None,
        lost: Sequence[str] = (),
    ) -> None:
        quieten()
        self.stored: Counter[str] = Counter()
        self.answer, self.commits_to, self.lost = answer, commits_to, list(lost)
        self._title = title
        self._ae = AE(title)
        self._ae.maximum_associations = 50
        self._ae.add_supported_context(Verification)
        self._ae.add_supported_context(StorageCommitmentPushModel)
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._commit)]
        server = self._ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        assert server is not None
        self.port = int(server.server_address[1])

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._ae.shutdown()

    def _store(self, event: evt.Event) -> int:
        sop = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr]
        status = self.answer(sop)
        if status == 0x0000:
            self.stored[sop] += 1
        return status

    def _commit(self, event: evt.Event) -> tuple[int, None]:
        asked = event.action_information
        if self.commits_to is not None:
            threading.Thread(target=self._say, args=(asked, self.commits_to), daemon=True).start()
        return 0x0000, None

    def _say(self, asked: Dataset, where: tuple[str, int, str]) -> None:
        said = Dataset()
        said.TransactionUID = asked.TransactionUID
        said.ReferencedSOPSequence, said.FailedSOPSequence = [], []
        for item in asked.ReferencedSOPSequence:
            sop = str(item.ReferencedSOPInstanceUID)
            if sop in self.stored and sop not in self.lost:
                said.ReferencedSOPSequence.append(item)
            else:
                self.lost = [uid for uid in self.lost if uid != sop]
                item.FailureReason = 0x0112  # no such object instance
                said.FailedSOPSequence.append(item)
        kind = 2 if said.FailedSOPSequence else 1
        model = StorageCommitmentPushModel
        association = AE(self._title).associate(
            *where[:2], ae_title=where[2], contexts=[build_context(model)], ext_neg=[build_role(model, scp_role=True)]
        )
        if association.is_established:
            association.send_n_event_report(said, kind, model, "1.2.840.10008.1.20.1.1")
            association.release()


def send(
    port: int,
    instances: Sequence[Dataset | Path],
    title: str = "ANY-SCP",
    caller: str = "MODALITY",
    seconds: float = 30.0,
) -> list[int]:
    """Sends instances to a node on this machine in one association, and waits so many seconds for each answer.

    Returns:
        The status of each answer; -1 where there was none.
    """
    if not instances:
        return []
    quieten()
    ae = AE(caller)
    ae.dimse_timeout = seconds
    kinds = {_class_and_syntax(i) for i in instances}
    contexts = [build_context(kind, syntax) for kind, syntax in sorted(kinds)][:_MOST]
    association = ae.associate("127.0.0.1", port, contexts=contexts, ae_title=title)
    statuses = []
    for instance in instances:
        if not association.is_established:
            statuses.append(-1)
            continue
        answer = association.send_c_store(instance)
        statuses.append(int(answer.Status) if "Status" in answer else -1)
    if association.is_established:
        association.release()
    return statuses


def _class_and_syntax(instance: Dataset | Path) -> tuple[str, str]:
    ds = pydicom.dcmread(instance, stop_before_pixels=True) if isinstance(instance, Path) else instance
    return str(ds.SOPClassUID), str(ds.file_meta.TransferSyntaxUID)


def _uid(*parts: object) -> UID:
    return generate_uid(entropy_srcs=[str(part) for part in ("rehearsal", *parts)])


def _slice(size: int, number: int) -> np.ndarray:
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    head = (rows / 0.9) ** 2 + (columns / 0.7) ** 2 < 1
    noise = np.random.default_rng(number).normal(0, 40, (size, size))
    return np.clip(head * (1200 + 400 * rows) + noise + 60, 0, 4095).astype("<u2")


def main() -> None:
    """Runs a node that pretends."""
    config, folder = Path(sys.argv[1]), Path(sys.argv[2])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    Node(read_node_config(config), partial(prepare_pretend, folder)).run()


if __name__ == "__main__":
    main()
