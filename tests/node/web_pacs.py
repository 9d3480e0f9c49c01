"""A PACS with DICOMweb and Orthanc's REST interface, in memory: it answers httpx without any socket."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pydicom
from pydicom import Dataset


class WebPacs:
    """Answers requests.

    Attributes:
        instances: DICOM files by SOPInstanceUID.
        changes: Orthanc's list.
        requests: Method and path of all that it was asked.
        fault: Called with each request first; what it returns, or raises, is the answer.
    """

    def __init__(self) -> None:
        self.instances: dict[str, bytes] = {}
        self.changes: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []
        self.fault: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
        self.transport = httpx.MockTransport(self._answer)

    def add(self, ds: Dataset, content: bytes | None = None) -> None:
        """Stores an instance, or other bytes in its place."""
        buffer = io.BytesIO()
        ds.save_as(buffer, enforce_file_format=True)
        self.instances[str(ds.SOPInstanceUID)] = content or buffer.getvalue()
        self._headers = getattr(self, "_headers", {})
        self._headers[str(ds.SOPInstanceUID)] = (str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID))

    def change(self, kind: str, identifier: str) -> None:
        """Adds to Orthanc's list."""
        self.changes.append({"ChangeType": kind, "ID": identifier, "Seq": len(self.changes) + 1})

    def asked(self, part: str) -> int:
        """How many requests had this in their path."""
        return sum(part in path for _, path in self.requests)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.requests.append((request.method, path))
        if (fault := self.fault(request)) is not None:
            return fault
        parts = path.strip("/").split("/")
        if parts[0] == "dicom-web":
            return self._store(request) if request.method == "POST" else self._dicomweb(parts[1:], request.url.params)
        return self._orthanc(parts, request.url.params)

    def _store(self, request: httpx.Request) -> httpx.Response:
        boundary = request.headers["Content-Type"].split("boundary=")[1].encode()
        for part in request.content.split(b"--" + boundary)[1:-1]:
            content = part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            self.add(pydicom.dcmread(io.BytesIO(content)))
        return httpx.Response(200, json={})

    def _dicomweb(self, parts: list[str], params: httpx.QueryParams) -> httpx.Response:
        offset, limit = int(params.get("offset", 0)), int(params.get("limit", 1000))
        if parts == ["studies"]:
            studies = sorted({study for study, _ in self._headers.values()})
            found = [
                {
                    "0020000D": {"vr": "UI", "Value": [study]},
                    "00201208": {"vr": "IS", "Value": [sum(s == study for s, _ in self._headers.values())]},
                }
                for study in studies
            ]
            return httpx.Response(200, json=found[offset : offset + limit])
        mine = {sop: series for sop, (study, series) in self._headers.items() if study == parts[1]}
        if parts[-1] == "instances":
            found = [{"0020000E": {"Value": [series]}, "00080018": {"Value": [sop]}} for sop, series in mine.items()]
            return httpx.Response(200, json=found[offset : offset + limit])
        wanted = [parts[-1]] if "instances" in parts else list(mine)
        body = b"".join(
            b"--xyz\r\nContent-Type: application/dicom\r\n\r\n" + self.instances[sop] + b"\r\n" for sop in wanted
        )
        kind = 'multipart/related; type="application/dicom"; boundary=xyz'
        return httpx.Response(200, content=body + b"--xyz--", headers={"Content-Type": kind})

    def _orthanc(self, parts: list[str], params: httpx.QueryParams) -> httpx.Response:
        if parts == ["changes"]:
            if "last" in params:
                return httpx.Response(200, json={"Changes": self.changes[-1:], "Last": len(self.changes)})
            since, limit = int(params["since"]), int(params["limit"])
            page = self.changes[since : since + limit]
            last = page[-1]["Seq"] if page else since
            return httpx.Response(200, json={"Changes": page, "Last": last, "Done": last == len(self.changes)})
        if parts[0] == "studies":
            found = [
                {"ID": f"orthanc-{sop}", "MainDicomTags": {"SOPInstanceUID": sop}}
                for sop, (study, _) in self._headers.items()
                if study == parts[1]
            ]
            return httpx.Response(200, content=json.dumps(found)) if found else httpx.Response(404)
        return httpx.Response(200, content=self.instances[parts[1].removeprefix("orthanc-")])
