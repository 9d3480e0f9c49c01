"""Assessments that go back to the node which handed a case over, and from there to the PACS."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from tumorlens.web.api.cases import finished
from tumorlens.web.api.views import Asked, errors
from tumorlens.web.state import AnyReader, App, ThisCase
from tumorlens.web.tables import Sending

router = APIRouter(tags=["feedback"], responses=errors(401, 404))


class NewSending(Asked):
    """Whether you vouch for what you send, as its report says: only who logged in with a password can."""

    verified: bool = False


class SendingView(BaseModel):
    """A result sent to the node, and its state.

    Attributes:
        sent: Seconds since 1970.
        verified: Whether the reader vouches for it.
        slices: How many slices it speaks of.
        state: "waiting", "delivered" or "failed".
        note: Why it failed.
    """

    id: str
    reader: str
    sent: float
    verified: bool
    slices: int
    state: str
    note: str

    @classmethod
    def of(cls, row: Sending) -> SendingView:
        """A row as the API has it."""
        return cls.model_validate(row, from_attributes=True)


@router.get("/cases/{case_id}/sendings")
def show(case: ThisCase, parts: App) -> list[SendingView]:
    """What was sent of a case, the oldest first."""
    exchange = parts.desk.exchange
    return [SendingView.of(row) for row in exchange.sent(case.id)] if exchange is not None else []


@router.post("/cases/{case_id}/sendings", status_code=201, responses=errors(400, 403, 409))
def send(case: ThisCase, new: NewSending, parts: App, reader: AnyReader) -> SendingView:
    """Sends your assessments of a case that came from the node, your last of each slice, back to it as a report."""
    exchange = parts.desk.exchange
    if exchange is None or not case.origin:
        raise HTTPException(409, "the case did not come from the node; there is nobody to send it to")
    if new.verified and (reader.by_token or not parts.settings.accounts):
        raise HTTPException(403, "only who logged in with a password can vouch for an assessment; send it without")
    sending = exchange.send(finished(case), reader.name, new.verified)
    detail = f"{sending.slices} slices, {'verified' if new.verified else 'not verified'}"
    parts.audit.note(reader.name, "assessment.sent", case.id, detail)
    return SendingView.of(sending)
