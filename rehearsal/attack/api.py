"""Attacks on the page's API: requests that are made up and follow each other, with and without accounts; and races."""

from __future__ import annotations

import io
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
from PIL import Image

from rehearsal.attack import Line, Size
from rehearsal.attack.http import Page
from tumorlens.web.accounts import Accounts
from tumorlens.web.database import Database
from tumorlens.web.security import COOKIE
from tumorlens.web.settings import Settings

if TYPE_CHECKING:
    from schemathesis import Case, Response

_PASSWORD = "correct horse battery"  # noqa: S105 - of accounts that live for a minute
_ROLES = {"ann": "admin", "jane": "reader", "joe": "reader"}
_OPEN = {"POST /api/v1/login", "GET /healthz"}
_ADMINS = ("/api/v1/accounts", "/api/v1/audit")
_REFUSED = {400, 401, 404, 405, 413, 422, 429}  # what a stranger gets; 422 is of a body that is no JSON
_ANSWER = 60.0  # seconds
_PAUSE = 0.15  # seconds from case to case, or there are more requests than a client may send
_STEPS = 20  # requests that follow each other


class _Guarded(Page):
    """A page with accounts, and keys to it.

    Attributes:
        accounts: Of the page, by its database.
    """

    def __init__(self, folder: Path, patience: float) -> None:
        settings = Settings(home=folder / "home")
        settings.prepare()
        self._database = Database(settings.database_url)
        self._database.migrate()
        self.accounts = Accounts(self._database)
        for name, role in _ROLES.items():
            self.accounts.add(name, _PASSWORD, role)
        super().__init__(folder, patience, "--accounts")
        self.address = f"http://127.0.0.1:{self.port}"

    def end(self) -> None:
        super().end()
        self._database.close()

    def token(self, name: str) -> dict[str, str]:
        """Headers that say who asks, by a token."""
        return {"Authorization": f"Bearer {self.accounts.add_token(name, 'attack')}"}

    def visit(self, name: str) -> dict[str, str]:
        """The same by a browser's cookie."""
        return {"Cookie": f"{COOKIE}={self.accounts.log_in(name, _PASSWORD)}"}

    def knows(self, key: dict[str, str]) -> bool:
        """Whether a key is still valid: what is made up may revoke it."""
        token, cookie = key.get("Authorization", " ").split(" ")[1], key.get("Cookie", "=").split("=")[1]
        return self.accounts.who(token=token or None, cookie=cookie or None) is not None


def attack(size: Size, folder: Path) -> Iterator[Line]:
    """The API, as whoever has an account, had one, or has none may treat it."""
    page = _Guarded(folder / "api", size.patience)
    try:
        yield from _made_up(page, size)
        yield from _raced(page, size)
        log = page.log()
        yield Line("API: no traceback in the log", 1, int("Traceback" not in log))
        yield Line("API: no password or token in the log", 1, int(_PASSWORD not in log and "tl_" not in log))
    finally:
        page.end()


class _Judge:
    """Sends each request as somebody, and judges the answer.

    Attributes:
        tried: Requests, by who sent them.
        fell: What was wrong, by who got it.
        statuses: The answers.
    """

    def __init__(self, page: _Guarded) -> None:
        self._page, self._random = page, random.Random(1)
        self._make: dict[str, Callable[[], dict[str, str]]] = {
            "nobody": dict,
            "a forged token": lambda: {"Authorization": "Bearer tl_" + "0" * 43},
            "a reader's token": lambda: page.token("jane"),
            "another reader's visit": lambda: page.visit("joe"),
            "an admin's token": lambda: page.token("ann"),
            "an admin's visit": lambda: page.visit("ann"),
        }
        self._keys = {who: make() for who, make in self._make.items()}
        self._deleted: set[str] = set()
        self.tried, self.statuses = Counter[str](), Counter[int]()
        self.fell: dict[str, Counter[str]] = {who: Counter() for who in self._make}

    def send(self, case: Case[Any]) -> Response:
        """Sends a request as somebody."""
        if case.path_parameters.get("name") in _ROLES:  # they are needed
            case.path_parameters["name"] = "somebody"
        who = self._random.choice([*self._make])
        self.tried[who] += 1
        try:
            answer = case.call(headers=self._keys[who], timeout=_ANSWER)
        except OSError:
            self.fell[who][f"{case.operation.label}: no answer"] += 1
            raise
        self.statuses[answer.status_code] += 1
        if problem := self._problem(case, answer, who):
            self.fell[who][f"{case.operation.label} {answer.status_code}: {problem}"] += 1
        if who not in ("nobody", "a forged token") and not self._page.knows(self._keys[who]):
            self._keys[who] = self._make[who]()
        return answer

    def _problem(self, case: Case[Any], answer: Response, who: str) -> str:
        label, status, path = case.operation.label, answer.status_code, case.operation.path
        done, case_id = 200 <= status < 300, str(case.path_parameters.get("case_id", ""))
        stranger = who in ("nobody", "a forged token")
        if status >= 500 or b"Traceback" in answer.content:
            return "the server failed"
        if stranger and label not in _OPEN and status not in _REFUSED:
            return "a stranger was let in"
        # schemathesis makes up keys of its own at times, in place of ours or beside it.
        ours = {name: value for name, value in answer.request.headers.items() if name in ("Authorization", "Cookie")}
        sent = not stranger and ours == self._keys[who]
        if status == 401 and sent and label not in _OPEN and self._page.knows(self._keys[who]):
            return "a reader was locked out"
        if done and path.startswith(_ADMINS) and "admin" not in who:
            return "a reader did what only admins may"
        if done and "token" in who and label in ("POST /api/v1/tokens", "POST /api/v1/accounts"):
            return "a token made what would outlive it"
        if done and case_id in self._deleted and path.startswith("/api/v1/cases/{case_id}"):
            return "a case was there after it was deleted"
        if done and label == "DELETE /api/v1/cases/{case_id}":
            self._deleted.add(case_id)
        return ""


def _made_up(page: _Guarded, size: Size) -> Iterator[Line]:
    """Requests that schemathesis makes up from the OpenAPI document, the later ones of what the earlier gave."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis.errors import Flaky

    judge = _Judge(page)
    schema = schemathesis.openapi.from_url(f"{page.address}/api/v1/openapi.json", timeout=_ANSWER)
    machine = schema.exclude(path_regex="/(events|logout)$").as_state_machine()

    class Attacker(machine):  # type: ignore[valid-type, misc]
        def call(self, case: Case[Any], **_options: Any) -> Response:
            return judge.send(case)

        def validate_response(self, *_arguments: Any, **_options: Any) -> None:
            """The judge did."""

    chosen = settings(
        max_examples=10,
        stateful_step_count=_STEPS,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    while judge.tried.total() < size.requests:
        # Hypothesis wants the same draws to have the same answers; a page that remembers cannot promise that.
        with suppress(Flaky, OSError):
            Attacker.run(settings=chosen)
    for who, tried in judge.tried.items():
        fell = judge.fell[who]
        yield Line(f"API: made up, by {who}", tried, tried - fell.total(), "; ".join([*fell][:3]))
    kinds = ", ".join(f"{n} × {status}" for status, n in sorted(judge.statuses.items()))
    worked = sum(n for status, n in judge.statuses.items() if status < 300)
    yield Line("API: some of it was answered", 1, int(worked > 0), kinds)


def _picture(number: int) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(number).integers(0, 255, (64, 64), np.uint8)
    Image.fromarray(noise).save(file, "PNG")
    return file.getvalue()


def _raced(page: _Guarded, size: Size) -> Iterator[Line]:
    """Uploads, a start, a deletion and reads of one case at the same moment; then the same without the deletion."""
    key, pictures = page.token("jane"), [_picture(number) for number in range(3)]
    allowed = {"PUT": {201, 404, 409}, "POST": {202, 404, 409}, "GET": {200, 404}, "DELETE": {204, 404}}
    with httpx.Client(base_url=f"{page.address}/api/v1", headers=key, timeout=60) as api:
        before = _folders(page)
        for deleted in (True, False):
            asked, wrong, kept = 0, Counter[str](), list[str]()
            for _ in range(size.rounds):
                case = str(api.post("/cases", json={}).json()["id"])
                api.put(f"/cases/{case}/files", params={"name": "0.png"}, content=pictures[0])
                calls: list[tuple[str, str, dict[str, Any]]] = [
                    ("PUT", f"/cases/{case}/files", {"params": {"name": f"{n}.png"}, "content": pictures[n]})
                    for n in (0, 1, 1, 2)
                ]
                calls += [("POST", f"/cases/{case}/start", {})] * 2
                calls += [("GET", f"/cases/{case}", {}), ("GET", f"/cases/{case}/slices", {})]
                calls += [("DELETE", f"/cases/{case}", {})] * 2 if deleted else []
                statuses = _at_once(api, calls)
                asked += len(calls)
                for (method, _, _), status in zip(calls, statuses, strict=True):
                    if status not in allowed[method]:
                        wrong[f"{method} {status}"] += 1
                started = sum(status == 202 for (m, _, _), status in zip(calls, statuses, strict=True) if m == "POST")
                if started > 1 or (started != 1 and not deleted):
                    wrong[f"started {started} times"] += 1
                kept += [] if deleted else [case]
                time.sleep(_PAUSE)
            what = "upload, start, read and delete" if deleted else "upload, start and read"
            yield Line(f"API: {what} at once", asked, asked - wrong.total(), "; ".join(wrong))
            yield _left(page, api, before, kept)
            before |= set(kept)


def _at_once(api: httpx.Client, calls: list[tuple[str, str, dict[str, Any]]]) -> list[int]:
    """The status of each of some requests that are sent at the same moment; 0 where there was no answer."""
    statuses, together = [0] * len(calls), threading.Barrier(len(calls))

    def ask(number: int) -> None:
        method, path, options = calls[number]
        together.wait()
        with suppress(httpx.HTTPError):
            statuses[number] = api.request(method, path, **options).status_code

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def _folders(page: Page) -> set[str]:
    return {folder.name for folder in (page.home / "cases").iterdir() if folder.is_dir()}


def _left(page: _Guarded, api: httpx.Client, before: set[str], kept: list[str]) -> Line:
    """Whether what is left of a race is what the answers said: each case's files and slices, once, and no other's."""
    wrong, until = 0, time.monotonic() + 60 + 2 * len(kept)
    for case in kept:
        while (view := api.get(f"/cases/{case}").json())["status"] in ("waiting", "reading"):
            if time.monotonic() > until:
                break
            time.sleep(0.2)
        slices = api.get(f"/cases/{case}/slices").json()
        wrong += view["status"] != "done" or not 1 <= view["files"] <= 3 or len(slices) != view["files"]
    while strays := _folders(page) - before - set(kept):  # of a deleted case: gone when its worker is done with it
        if time.monotonic() > until:
            break
        time.sleep(0.2)
    wrong += len(strays)
    tried = max(1, len(kept))
    return Line("API: what is left is what was said", tried, tried - min(wrong, tried), f"{len(kept)} cases")
