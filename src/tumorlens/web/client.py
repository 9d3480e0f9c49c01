"""A small client of the page's API. It needs httpx, and nothing else of the page."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import httpx

from tumorlens.errors import RequestRefused
from tumorlens.finding import FindingsDocument

FINISHED = ("done", "failed")


class Client:
    """Client of the page's API.

        with Client("http://localhost:8000") as client:
            document = client.find("scan.png")      # at once; nothing is kept
            case = client.read(["study.zip"])       # a case, in the worklist
            client.say(case["id"], 1, "agree")

    Args:
        address: Of the page.
        token: Of an account, where the page asks for one: `tumorlens accounts token NAME`.
        transport: What carries requests, for tests.
        timeout: Seconds to wait for an answer.
    """

    def __init__(
        self,
        address: str = "http://localhost:8000",
        token: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        timeout: float = 60,
    ) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=f"{address.rstrip('/')}/api/v1", headers=headers, transport=transport, timeout=timeout
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def find(self, path: str | PathLike[str], **options: Any) -> FindingsDocument:
        """The findings of a file of up to 64 slices at once; nothing is kept.

        Options are `axis`, `target` and `pictures`, as the API takes them.

        Raises:
            RequestRefused: If it cannot be read, or the page refuses.
        """
        file = Path(path)
        answer = self._ask("POST", "/findings", params={"name": file.name, **options}, content=file.read_bytes())
        return _document(answer)

    def read(
        self, paths: Iterable[str | PathLike[str]], title: str = "", *, axis: str = "axial", seconds: float = 900
    ) -> dict[str, Any]:
        """Makes a case of files, has it read, and waits for it, so many seconds at most.

        Raises:
            RequestRefused: If the page refuses, or the case fails or takes longer.
        """
        case: dict[str, Any] = self._ask("POST", "/cases", json={"title": title, "axis": axis})
        for path in paths:
            file = Path(path)
            with file.open("rb") as content:
                self._ask("PUT", f"/cases/{case['id']}/files", params={"name": file.name}, content=content)
        self._ask("POST", f"/cases/{case['id']}/start")
        until = time.monotonic() + seconds
        while (case := self.case(case["id"]))["status"] not in FINISHED:
            if time.monotonic() > until:
                raise RequestRefused(f"case {case['id']} is not done after {seconds:g} seconds")
            time.sleep(0.2)
        if case["status"] == "failed":
            raise RequestRefused(f"case {case['id']}: {case['error']}")
        return case

    def cases(self, **filters: Any) -> list[dict[str, Any]]:
        """The worklist; filters are the API's."""
        cases: list[dict[str, Any]] = self._ask("GET", "/cases", params=filters)["cases"]
        return cases

    def case(self, case_id: str) -> dict[str, Any]:
        """A case by its identifier, as the API has it."""
        return self._ask("GET", f"/cases/{case_id}")

    def findings(self, case_id: str) -> FindingsDocument:
        """A case's findings."""
        return _document(self._ask("GET", f"/cases/{case_id}/findings"))

    def say(
        self,
        case_id: str,
        slice_number: int,
        verdict: str,
        *,
        label: str = "",
        comment: str = "",
        outline: Sequence[tuple[float, float]] = (),
    ) -> dict[str, Any]:
        """Sends an assessment of a slice; see `POST /cases/{id}/feedback`."""
        body = {"slice": slice_number, "verdict": verdict, "label": label, "comment": comment, "outline": list(outline)}
        return self._ask("POST", f"/cases/{case_id}/feedback", json=body)

    def report(self, case_id: str, path: str | PathLike[str]) -> None:
        """Saves a case's report, as PDF, or as HTML if the path ends so."""
        kind = "html" if str(path).endswith((".html", ".htm")) else "pdf"
        Path(path).write_bytes(self._send("GET", f"/cases/{case_id}/report.{kind}").content)

    def export(self, path: str | PathLike[str]) -> None:
        """Saves all assessments as a zip archive, a data set."""
        Path(path).write_bytes(self._send("GET", "/feedback/export").content)

    def delete(self, case_id: str) -> None:
        """Deletes a case."""
        self._send("DELETE", f"/cases/{case_id}")

    def _ask(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._send(method, path, **options).json()
        return answer

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            kind = type(error).__name__
            raise RequestRefused(f"{self._http.base_url}: not reached ({kind}); is it running?") from error
        if answer.is_error:
            try:
                reason = answer.json()["error"]
            except (ValueError, KeyError, TypeError):
                reason = answer.reason_phrase
            raise RequestRefused(str(reason), answer.status_code)
        return answer


def _document(answer: dict[str, Any]) -> FindingsDocument:
    return FindingsDocument.model_validate({key: value for key, value in answer.items() if key != "schema"})
