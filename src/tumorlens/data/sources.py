"""Public data sets, fetched by well-kept libraries from where their authors put them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tumorlens.errors import ConfigError, DownloadError, needs_extra

_CHENG_DOI = "10.6084/m9.figshare.1512427.v5"
_MASOUD = "masoudnickparvar/brain-tumor-mri-dataset"
_SECONDS = 30  # without a byte before a connection counts as dead


@dataclass(frozen=True)
class PublicSet:
    """A public data set.

    Attributes:
        what: What is in it, and what speaks against it.
    """

    name: str
    what: str
    size: str
    licence: str
    page: str
    fetch: Callable[[Path], None]


def get(name: str, folder: Path) -> Path:
    """Fetches a public set; what is there already and sound is not fetched again.

    `name` is a key of `SOURCES`.

    Raises:
        ConfigError: If no set is called so.
        DownloadError: If it cannot be fetched.
    """
    if name not in SOURCES:
        raise ConfigError(f"no data set is called {name!r}; there are {', '.join(SOURCES)}")
    source = SOURCES[name]
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


def _fetch_cheng(folder: Path) -> None:
    """Four zip files of MATLAB slices. Names, addresses and checksums come from figshare's record of the DOI."""
    with needs_extra("fetching data sets", "train"):
        import pooch
        from pooch.downloaders import doi_to_repository

    repository = doi_to_repository(_CHENG_DOI, timeout=_SECONDS)
    registry = pooch.create(path=folder, base_url="")
    repository.populate_registry(registry)
    for file, checksum in registry.registry.items():
        pooch.retrieve(
            repository.download_url(file),
            checksum,
            fname=file,
            path=folder,
            downloader=resume_download,
            processor=pooch.Unzip(extract_dir=".") if file.endswith(".zip") else None,
        )


def _fetch_masoud(folder: Path) -> None:
    """Kaggle's archive. kagglehub checks it, and goes on with a download that was cut off."""
    with needs_extra("fetching data sets", "train"):
        import kagglehub
        from kagglehub import exceptions
    try:
        kagglehub.dataset_download(_MASOUD, output_dir=os.fspath(folder))
    except (
        exceptions.BackendError,
        exceptions.CredentialError,
        exceptions.DataCorruptionError,
        exceptions.NotFoundError,
        exceptions.UnauthenticatedError,
    ) as error:
        raise OSError(str(error)) from error


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
            "3,064 T1 contrast-enhanced slices of 233 patients, 512 x 512, each with a radiologist's outline: glioma, "
            "meningioma, pituitary tumour",
            "about 880 MB",
            "CC BY 4.0",
            "https://doi.org/10.6084/m9.figshare.1512427",
            _fetch_cheng,
        ),
        PublicSet(
            "masoud",
            "7,023 slices of mixed sources and sizes, with no tumour as a fourth class. Three quarters of its test "
            "pictures stand in its training part too, most of them mirrored",
            "about 150 MB",
            "CC0",
            f"https://www.kaggle.com/datasets/{_MASOUD}",
            _fetch_masoud,
        ),
    )
}
"""The sets `tumorlens data get` knows."""
