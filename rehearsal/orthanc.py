"""An Orthanc of one's own, for rehearsals: on free ports, in a folder of its own, with the DICOMweb plug-in."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from rehearsal.kills import free_port, wait_for
from tumorlens.errors import ConfigError

PROGRAM = "Orthanc"
PLUG_IN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
TITLE = "ORTHANC"


def installed() -> bool:
    """Whether Orthanc and its DICOMweb plug-in are (Debian: orthanc, orthanc-dicomweb)."""
    return _program() is not None and PLUG_IN.exists()


def _program() -> str | None:
    # Debian puts it where only root's PATH leads.
    return shutil.which(PROGRAM) or shutil.which(PROGRAM, path="/usr/sbin")


class Orthanc:
    """Runs while in the block.

    Args:
        folder: For its configuration, its index and its files.
        node: Address and AE title of a node that C-MOVE may send to.
        stable: Seconds after which it calls a study stable.

    Raises:
        ConfigError: On entering, if it is not installed.

    Attributes:
        dicom: Port of its DICOM server.
        url: Of its REST interface.
    """

    def __init__(self, folder: Path, node: tuple[str, int, str] | None = None, stable: int = 1) -> None:
        self.folder = folder
        self.dicom, http = free_port(), free_port()
        self.url = f"http://127.0.0.1:{http}"
        self.web = f"{self.url}/dicom-web"
        self._settings: dict[str, Any] = {
            "Name": "rehearsal",
            "StorageDirectory": str(folder),
            "IndexDirectory": str(folder),
            "HttpPort": http,
            "DicomPort": self.dicom,
            "DicomAet": TITLE,
            "DicomAlwaysAllowStore": True,
            "DicomCheckCalledAet": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "StableAge": stable,
            "Plugins": [str(PLUG_IN)],
            "DicomModalities": {"node": [node[2], node[0], node[1]]} if node else {},
        }

    def __enter__(self) -> Orthanc:
        program = _program()
        if program is None or not PLUG_IN.exists():
            raise ConfigError("Orthanc is not installed; apt-get install orthanc orthanc-dicomweb")
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "orthanc.json"
        config.write_text(json.dumps(self._settings))
        with (self.folder / "log").open("wb") as log:
            self._process = subprocess.Popen([program, str(config)], stdout=log, stderr=log)  # noqa: S603
        wait_for(self._answers)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise ConfigError(f"Orthanc ended; {self.folder / 'log'} says why")
        try:
            return httpx.get(f"{self.url}/system").is_success
        except httpx.HTTPError:
            return False
