"""Watches servers for new studies, and pulls them. What was seen and what was pulled survives a restart."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterator
from sqlite3 import Row
from typing import Protocol

import httpx
from pydantic import BaseModel

from tumorlens.errors import PeerError
from tumorlens.node.config import Feed, Retries
from tumorlens.node.delivery import note_failure
from tumorlens.node.dicomweb import COUNT, STUDY, DicomWeb, Web, value
from tumorlens.node.inbox import Inbox
from tumorlens.node.ledger import Ledger
from tumorlens.node.privacy import short

_LOG = logging.getLogger(__name__)
_CHANGES = 100  # of Orthanc, asked for at a time


class Server(Protocol):
    """Interface of a server that is watched: list studies, fetch one."""

    def look(self) -> None:
        """Notes in the state which studies are new; raises PeerError if the server fails."""

    def pull(self, study: str) -> Iterator[bytes]:
        """The instances of a study that we do not have; raises PeerError if the server fails."""

    def close(self) -> None:
        """Closes its connections."""


class _Change(BaseModel):
    """One of Orthanc's changes."""

    ChangeType: str
    ID: str
    Seq: int


class _Changes(BaseModel):
    """A page of Orthanc's list of changes."""

    Changes: list[_Change]
    Last: int
    Done: bool = True


class _Instance(BaseModel):
    """What Orthanc says of an instance."""

    ID: str
    MainDicomTags: dict[str, str]


class Watcher:
    """Follows one feed of a server, and has its instances taken in."""

    def __init__(self, feed: Feed, server: Server, inbox: Inbox, ledger: Ledger, retries: Retries) -> None:
        self.name = feed.name
        self._server, self._inbox, self._ledger, self._retries = server, inbox, ledger, retries

    def step(self) -> None:
        """Looks for new studies, and pulls what is due."""
        try:
            self._server.look()
        except PeerError as error:
            _LOG.warning("cannot look for new studies: %s", error)
        sql = "SELECT * FROM pulls WHERE feed = ? AND state = 'waiting' AND next_try <= ? ORDER BY id"
        for row in self._ledger.rows(sql, self.name, time.time()):
            self._pull(row)

    def close(self) -> None:
        """Closes what it has open at the server."""
        self._server.close()

    def _pull(self, row: Row) -> None:
        came = 0
        try:
            for content in self._server.pull(row["study"]):
                self._inbox.take(content)
                came += 1
        except PeerError as error:
            note_failure(self._ledger, "pulls", row, "waiting", str(error), self._retries)
            _LOG.warning("study %s could not be pulled: %s", short(row["study"]), error)
            return
        # It may have grown meanwhile: then it is not done.
        self._ledger.write(
            "UPDATE pulls SET state = 'done', note = '', tries = 0 WHERE id = ? AND state = 'waiting' AND size = ?",
            *(row["id"], row["size"]),
        )
        if came:
            _LOG.info("study %s: pulled from %s: %d", short(row["study"]), self.name, came)


class QidoServer:
    """A DICOMweb server that is asked for its newest studies.

    QIDO-RS cannot say what has changed. So all studies of the last days are listed, and one is pulled when its number
    of instances is the same in two looks, and not the one it was pulled with.
    """

    def __init__(self, feed: Feed, ledger: Ledger, transport: httpx.BaseTransport | None = None) -> None:
        self._feed, self._ledger = feed, ledger
        self._web = DicomWeb(feed, transport)

    def close(self) -> None:
        """Closes its connections."""
        self._web.close()

    def look(self) -> None:
        """Lists studies; see `Server`."""
        first = dt.date.today() - dt.timedelta(days=self._feed.days)
        for item in self._web.search_studies(StudyDate=f"{first:%Y%m%d}-"):
            if study := value(item, STUDY):
                counted = value(item, COUNT)
                self._note(study, int(counted) if counted.isdecimal() else len(self._web.search_instances(study)))

    def _note(self, study: str, size: int) -> None:
        with self._ledger.transaction():
            pull = (self._feed.name, study)
            steady = (
                "UPDATE pulls SET state = 'waiting' WHERE feed = ? AND study = ? AND size = ? AND state = 'growing'"
            )
            if not self._ledger.write(steady, *pull, size):
                self._ledger.write(
                    "INSERT INTO pulls (feed, study, size, state) VALUES (?, ?, ?, 'growing') ON CONFLICT DO UPDATE "
                    "SET size = excluded.size, state = 'growing', tries = 0, next_try = 0 WHERE size <> excluded.size",
                    *(*pull, size),
                )

    def pull(self, study: str) -> Iterator[bytes]:
        """Retrieves what we do not have; see `Server`."""
        listed = self._web.search_instances(study)
        missing = [(series, sop) for series, sop in listed if _is_missing(self._ledger, sop)]
        if len(missing) == len(listed):
            yield from self._web.retrieve_study(study)
        else:
            for series, sop in missing:
                yield self._web.retrieve_instance(study, series, sop)


class OrthancServer:
    """An Orthanc whose list of changes is followed: a study is pulled when Orthanc calls it stable."""

    def __init__(self, feed: Feed, ledger: Ledger, transport: httpx.BaseTransport | None = None) -> None:
        self._feed, self._ledger = feed, ledger
        self._web = Web(feed, transport)

    def close(self) -> None:
        """Closes its connections."""
        self._web.close()

    def look(self) -> None:
        """Reads the list on from where it was; see `Server`."""
        position = self._ledger.value("SELECT position FROM feeds WHERE name = ?", self._feed.name)
        if position is None:
            position = 0 if self._feed.since == "beginning" else self._web.json("changes?last", _Changes).Last
            self._ledger.write("INSERT OR IGNORE INTO feeds VALUES (?, ?)", self._feed.name, str(position))
        while True:
            page = self._web.json("changes", _Changes, params={"since": position, "limit": _CHANGES})
            with self._ledger.transaction():
                for change in page.Changes:
                    if change.ChangeType == "StableStudy":
                        self._ledger.write(
                            "INSERT INTO pulls (feed, study, size, state) VALUES (?, ?, ?, 'waiting') ON CONFLICT DO "
                            "UPDATE SET size = excluded.size, state = 'waiting', tries = 0, next_try = 0",
                            *(self._feed.name, change.ID, change.Seq),
                        )
                self._ledger.write("UPDATE feeds SET position = ? WHERE name = ?", str(page.Last), self._feed.name)
            if page.Done or page.Last <= int(position):
                return
            position = page.Last

    def pull(self, study: str) -> Iterator[bytes]:
        """Retrieves what we do not have; see `Server`."""
        for instance in self._web.json(f"studies/{study}/instances", list[_Instance]):
            if _is_missing(self._ledger, instance.MainDicomTags.get("SOPInstanceUID", "")):
                yield self._web.ask("GET", f"instances/{instance.ID}/file").content


def _is_missing(ledger: Ledger, sop: str) -> bool:
    return ledger.instance(sop) is None and not ledger.is_result(sop)
