"""Public data sets, fetched by well-kept libraries from where their authors put them."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tumorlens.errors import ConfigError, DownloadError, needs_extra
from tumorlens.files import write_table

_CHENG_DOI = "10.6084/m9.figshare.1512427.v5"
_COLON_DOI = "10.5281/zenodo.1214456"
_MASOUD = "masoudnickparvar/brain-tumor-mri-dataset"
_HEAD_CT = "felipekitamura/head-ct-hemorrhage"
_LC25000 = "andrewmvd/lung-and-colon-cancer-histopathological-images"
_SECONDS = 30  # without a byte before a connection counts as dead


@dataclass(frozen=True)
class PublicSet:
    """A public data set.

    Attributes:
        modality: Code of what it holds, as in `tumorlens.modality`.
        what: What is in it, and what speaks against it.
        by_hand: What a person has to do, where nothing else may fetch it; `fetch` is None then.
        train: What `--data` takes of what was fetched, where that is not the folder itself.
    """

    name: str
    modality: str
    what: str
    size: str
    licence: str
    page: str
    fetch: Callable[[Path], None] | None = None
    by_hand: str = ""
    train: str = ""


def get(name: str, folder: Path) -> Path:
    """Fetches a public set; what is there already and sound is not fetched again.

    `name` is a key of `SOURCES`.

    Raises:
        ConfigError: If no set is called so.
        DownloadError: If it cannot be fetched, or only by hand.
    """
    if name not in SOURCES:
        raise ConfigError(f"no data set is called {name!r}; there are {', '.join(SOURCES)}")
    source = SOURCES[name]
    if source.fetch is None:
        raise DownloadError(f"{name}: its publisher asks for a person: {source.by_hand}; see {source.page}")
    with needs_extra("fetching data sets", "train"):
        import requests
    try:
        folder.mkdir(parents=True, exist_ok=True)
        source.fetch(folder)
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
        ConnectionError,
    ) as error:
        raise DownloadError(
            f"{name}: no connection to its server ({type(error).__name__}); check the network and run this again, it "
            f"goes on where it stopped; or fetch it from {source.page} and unpack it into {folder}"
        ) from error
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DownloadError(
            f"{name}: could not be fetched ({' '.join(str(error).split())[:200]}); run this again, or fetch it from "
            f"{source.page} and unpack it into {folder}"
        ) from error
    return folder


def _fetch_doi(doi: str, folder: Path, wanted: Collection[str] = ()) -> None:
    """Files of figshare or Zenodo. Names, addresses and checksums come from the record of the DOI.

    `wanted` are names of files; all where there are none.
    """
    with needs_extra("fetching data sets", "train"):
        import pooch
        from pooch.downloaders import doi_to_repository

    repository = doi_to_repository(doi, timeout=_SECONDS)
    registry = pooch.create(path=folder, base_url="")
    repository.populate_registry(registry)
    for file, checksum in registry.registry.items():
        if wanted and file not in wanted:
            continue
        pooch.retrieve(
            repository.download_url(file),
            checksum,
            fname=file,
            path=folder,
            downloader=resume_download,
            processor=pooch.Unzip(extract_dir=".") if file.endswith(".zip") else None,
        )


def _fetch_kaggle(handle: str, folder: Path) -> None:
    """Kaggle's archive. kagglehub checks it, and goes on with a download that was cut off."""
    with needs_extra("fetching data sets", "train"):
        import kagglehub
        from kagglehub import exceptions
    try:
        kagglehub.dataset_download(handle, output_dir=os.fspath(folder))
    except (
        exceptions.BackendError,
        exceptions.CredentialError,
        exceptions.DataCorruptionError,
        exceptions.NotFoundError,
        exceptions.UnauthenticatedError,
    ) as error:
        raise OSError(str(error)) from error


def _fetch_head_ct(folder: Path) -> None:
    """Head CT: pictures in one folder, and labels.csv with 1 for haemorrhage; manifest.csv says it as we read it."""
    _fetch_kaggle(_HEAD_CT, folder)
    pictures = {int(path.stem): path for path in sorted(folder.rglob("*.png")) if path.stem.isdigit()}
    with (folder / "labels.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    labels = [(int(number), "haemorrhage" if int(flag) else "normal") for number, flag in rows[1:]]
    lines = [(pictures[number].relative_to(folder).as_posix(), label) for number, label in labels]
    write_table(folder / "manifest.csv", ("path", "label"), lines)


def resume_download(url: str, output_file: Any, _pooch: Any) -> None:
    """A pooch downloader that keeps what came of a file, shows its progress, and asks for the rest next time.

    What came so far lies beside the output file under a name of the address's own.
    """
    import requests
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    target = Path(output_file)
    part = target.with_name("." + "".join(c if c.isalnum() else "-" for c in url)[-80:] + ".part")
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # bytes of the file itself, or their numbers would not fit
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=_SECONDS) as answer:
        complete = have > 0 and answer.status_code == requests.codes.requested_range_not_satisfiable
        if not complete:
            answer.raise_for_status()
            resumed = answer.status_code == requests.codes.partial_content
            total = int(answer.headers.get("Content-Length", 0)) + (have if resumed else 0)
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            bar = Progress(*columns, console=Console(stderr=True), transient=True)
            with part.open("ab" if resumed else "wb") as file, bar as progress:
                task = progress.add_task("downloading", total=total or None, completed=have if resumed else 0)
                for chunk in answer.iter_content(1 << 18):
                    file.write(chunk)
                    progress.update(task, advance=len(chunk))
            if total and part.stat().st_size < total:
                raise ConnectionError("the connection was cut")
    shutil.move(part, target)


SOURCES = {
    s.name: s
    for s in (
        PublicSet(
            "cheng",
            "MR",
            "3,064 T1 contrast-enhanced slices of 233 patients, 512 x 512, each with a radiologist's outline: glioma, "
            "meningioma, pituitary tumour",
            "about 880 MB",
            "CC BY 4.0",
            "https://doi.org/10.6084/m9.figshare.1512427",
            partial(_fetch_doi, _CHENG_DOI),
        ),
        PublicSet(
            "masoud",
            "MR",
            "7,023 slices of mixed sources and sizes, with no tumour as a fourth class. Three quarters of its test "
            "pictures stand in its training part too, most of them mirrored",
            "about 150 MB",
            "CC0",
            f"https://www.kaggle.com/datasets/{_MASOUD}",
            partial(_fetch_kaggle, _MASOUD),
        ),
        PublicSet(
            "head_ct",
            "CT",
            "200 head CT slices as pictures: haemorrhage or normal. Some are one picture cut out twice",
            "some 10 MB",
            "CC0 by its page, not verified here",
            f"https://www.kaggle.com/datasets/{_HEAD_CT}",
            _fetch_head_ct,
        ),
        PublicSet(
            "ct_ich",
            "CT",
            "82 head CT scans after an injury (NIfTI), with outlines of haemorrhage",
            "about 1 GB",
            "CC BY 4.0 by its paper",
            "https://doi.org/10.13026/w8q8-ky94",
            by_hand="sign in at PhysioNet, accept its terms, and unpack the archive",
        ),
        PublicSet(
            "rsna_ich",
            "CT",
            "874,035 DICOM slices of over 25,000 head CT studies, five kinds of haemorrhage by slice",
            "hundreds of GB",
            "non-commercial research, by its terms",
            "https://www.kaggle.com/c/rsna-intracranial-hemorrhage-detection",
            by_hand="sign in at Kaggle, accept the competition's rules, and fetch stage 2",
        ),
        PublicSet(
            "lc25000",
            "SM",
            "25,000 tiles of lung and colon, 768 x 768, five classes: each is there twenty times, turned and mirrored; "
            "audit them before any split",
            "about 2 GB",
            "CC BY 4.0, not verified here",
            f"https://www.kaggle.com/datasets/{_LC25000}",
            partial(_fetch_kaggle, _LC25000),
            train="lung_colon_image_set/lung_image_sets",
        ),
        PublicSet(
            "nct_crc",
            "SM",
            "100,000 tiles of the colon, 224 x 224, nine kinds of tissue, and 7,180 of 50 other patients for the test "
            "(CRC-VAL-HE-7K); who the patients of the first are is not told",
            "about 12.5 GB",
            "CC BY 4.0",
            f"https://doi.org/{_COLON_DOI}",
            partial(_fetch_doi, _COLON_DOI, wanted=("NCT-CRC-HE-100K.zip", "CRC-VAL-HE-7K.zip")),
            train="NCT-CRC-HE-100K",
        ),
    )
}
"""The sets `tumorlens data get` knows."""
