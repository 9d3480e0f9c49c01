"""Logging in, accounts, tokens and the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from tumorlens.web.accounts import VISIT_SECONDS
from tumorlens.web.api.views import Asked, errors
from tumorlens.web.security import COOKIE
from tumorlens.web.state import Admin, AnyReader, App, Visitor
from tumorlens.web.tables import Account, AccountView, EventView, Token, TokenView

router = APIRouter(tags=["access"], responses=errors(400, 401, 403, 404))


class LogIn(Asked):
    """Name and password."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=1000)


class Me(BaseModel):
    """The account that asks."""

    name: str
    role: str
    accounts: bool


class NewAccount(Asked):
    """An account to add."""

    name: str = Field(max_length=64)
    password: str = Field(max_length=1000)
    role: Literal["reader", "admin"] = "reader"


class NewToken(Asked):
    """A token to make: what it is for, and how many days it is valid."""

    purpose: str = Field(min_length=1, max_length=80)
    days: float = Field(365, gt=0, le=3650)


class AuditLog(BaseModel):
    """The newest lines, and the number of the first that was tampered with, if any."""

    broken: int | None
    lines: Sequence[EventView]


@router.post("/login", responses=errors(429))
def log_in(login: LogIn, parts: App, response: Response) -> Me:
    """Logs a browser in."""
    if parts.settings.accounts and not parts.accounts.may_try(login.name):
        raise HTTPException(429, "too many attempts for this account; wait some minutes", {"Retry-After": "600"})
    cookie = parts.accounts.log_in(login.name, login.password) if parts.settings.accounts else None
    if cookie is None:
        parts.audit.note("-", "login.refused")
        raise HTTPException(401, "name and password do not fit" if parts.settings.accounts else "accounts are off")
    parts.audit.note(login.name, "login")
    response.set_cookie(
        COOKIE, cookie, max_age=VISIT_SECONDS, httponly=True, secure=parts.settings.https, samesite="strict", path="/"
    )
    reader = parts.accounts.who(cookie=cookie)
    assert reader is not None
    return Me(name=reader.name, role=reader.role, accounts=True)


@router.post("/logout", status_code=204)
def log_out(request: Request, response: Response, parts: App, reader: AnyReader) -> None:
    """Logs a browser out."""
    if cookie := request.cookies.get(COOKIE):
        parts.accounts.log_out(cookie)
    parts.audit.note(reader.name, "logout")
    response.delete_cookie(COOKIE, path="/")


@router.get("/me")
def me(parts: App, reader: AnyReader) -> Me:
    """The account that asks."""
    return Me(name=reader.name, role=reader.role, accounts=parts.settings.accounts)


@router.get("/accounts", response_model=list[AccountView])
def accounts(parts: App, _admin: Admin) -> list[Account]:
    """All accounts."""
    return parts.accounts.all()


@router.post("/accounts", status_code=201, response_model=AccountView)
def add_account(new: NewAccount, parts: App, admin: Admin, _visitor: Visitor) -> Account:
    """Adds an account. A token does not."""
    account = parts.accounts.add(new.name, new.password, new.role)
    parts.audit.note(admin.name, "account.added", "", f"{new.name}, {new.role}")
    return account


@router.delete("/accounts/{name}", status_code=204)
def remove_account(name: str, parts: App, admin: Admin) -> None:
    """Removes an account with its tokens. What it said of scans stays."""
    parts.accounts.remove(name)
    parts.audit.note(admin.name, "account.removed", "", name)


@router.get("/tokens", response_model=list[TokenView])
def tokens(parts: App, reader: AnyReader) -> list[Token]:
    """One's own tokens; admins see all."""
    return parts.accounts.tokens(None if reader.is_admin else reader.name)


@router.post("/tokens", status_code=201)
def add_token(new: NewToken, parts: App, reader: Visitor) -> dict[str, str]:
    """Makes a token for a program that acts as you. It is shown this once. A token makes none."""
    token = parts.accounts.add_token(reader.name, new.purpose, new.days)
    parts.audit.note(reader.name, "token.added")
    return {"token": token}


@router.delete("/tokens/{token_id}", status_code=204)
def revoke(token_id: str, parts: App, reader: AnyReader) -> None:
    """Ends a token: one's own, or, for admins, anybody's."""
    if not parts.accounts.revoke(token_id, None if reader.is_admin else reader.name):
        raise HTTPException(404, "there is no such token of yours")
    parts.audit.note(reader.name, "token.revoked")


@router.get("/audit")
def audit(
    parts: App,
    _admin: Admin,
    limit: Annotated[int, Query(ge=1, le=1000)] = 200,
    before: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
) -> AuditLog:
    """The audit log, newest first, and whether it is whole."""
    return AuditLog(broken=parts.audit.broken(), lines=parts.audit.lines(limit, before))
