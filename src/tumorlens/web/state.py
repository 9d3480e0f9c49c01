"""What an application is made of, and how its endpoints get at it."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tumorlens.card import WeightsCard
from tumorlens.web.accounts import Accounts, Reader
from tumorlens.web.assessments import Assessments
from tumorlens.web.audit import Audit
from tumorlens.web.desk import Desk
from tumorlens.web.evaluations import EvaluationReports
from tumorlens.web.metrics import Metrics
from tumorlens.web.pool import Pool
from tumorlens.web.security import COOKIE
from tumorlens.web.settings import Settings
from tumorlens.web.store import Store
from tumorlens.web.tables import ADMIN, Case, Slice
from tumorlens.web.uploads import GONE


@dataclass(frozen=True)
class State:
    """The parts of a running application."""

    settings: Settings
    card: WeightsCard
    store: Store
    pool: Pool
    desk: Desk
    assessments: Assessments
    accounts: Accounts
    audit: Audit
    metrics: Metrics
    evaluations: EvaluationReports


def _state(request: Request) -> State:
    return cast(State, request.app.state.parts)


App = Annotated[State, Depends(_state)]
_bearer = HTTPBearer(auto_error=False, description="A token of an account; none is needed where accounts are off.")


def find_reader(
    request: Request, parts: App, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> Reader | None:
    """The reader that a request is of, by token or cookie; None if it has neither that is valid."""
    if not parts.settings.accounts:
        return Reader(_user(), ADMIN)
    if bearer is not None:
        return parts.accounts.who(token=bearer.credentials)
    return parts.accounts.who(cookie=request.cookies.get(COOKIE))


def _need_reader(reader: Annotated[Reader | None, Depends(find_reader)]) -> Reader:
    if reader is None:
        raise HTTPException(401, "log in, or send a valid token", {"WWW-Authenticate": "Bearer"})
    return reader


def _need_admin(reader: Annotated[Reader, Depends(_need_reader)]) -> Reader:
    if not reader.is_admin:
        raise HTTPException(403, "only admins may do that")
    return reader


def _need_visit(reader: Annotated[Reader, Depends(_need_reader)]) -> Reader:
    if reader.by_token:
        raise HTTPException(403, "a token makes no tokens and no accounts, which would outlive it; log in")
    return reader


AnyReader = Annotated[Reader, Depends(_need_reader)]
Visitor = Annotated[Reader, Depends(_need_visit)]
Admin = Annotated[Reader, Depends(_need_admin)]


def _user() -> str:
    """Who sits at this machine."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "local"


def _case(case_id: str, parts: App, _reader: AnyReader) -> Case:
    case = parts.store.get(case_id)
    if case is None:
        raise HTTPException(404, GONE)
    return case


ThisCase = Annotated[Case, Depends(_case)]


def _own(case: ThisCase, reader: AnyReader) -> Case:
    if not reader.is_admin and case.owner != reader.name:
        raise HTTPException(403, "the case is another reader's; an admin may change it")
    return case


OwnCase = Annotated[Case, Depends(_own)]


def _slice(case: ThisCase, number: int, parts: App) -> Slice:
    row = parts.store.slice(case.id, number) if 0 < number < 2**31 else None
    if row is None:
        raise HTTPException(404, "the case has no such slice")
    return row


ThisSlice = Annotated[Slice, Depends(_slice)]
