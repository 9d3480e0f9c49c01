"""What a node knows, in SQLite: every instance, study, result and delivery, and where each of them stands.

Every step of a study is one transaction that has reached the disk before the next begins, so a kill at any moment
leaves the study at a stage from which it goes on.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tumorlens.errors import ConfigError

VERSION = 1
"""Version of the tables; a state of another one is not opened."""

_TABLES = """
CREATE TABLE instances (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of arrival
    sop TEXT NOT NULL UNIQUE,               -- SOPInstanceUID
    study TEXT NOT NULL,                    -- StudyInstanceUID; empty where it cannot be read
    file TEXT NOT NULL,
    sha256 TEXT NOT NULL,                   -- of the data set as it was sent
    received REAL NOT NULL,
    repeats INTEGER NOT NULL DEFAULT 0,     -- how often it was sent again
    dead TEXT                               -- why it is a dead letter, or NULL
);
CREATE INDEX instances_of_study ON instances (study, seq);
CREATE INDEX dead_instances ON instances (seq) WHERE dead IS NOT NULL;
CREATE TABLE studies (
    uid TEXT PRIMARY KEY,
    last_seq INTEGER NOT NULL,              -- of its newest instance
    last_received REAL NOT NULL,
    upto INTEGER NOT NULL DEFAULT 0,        -- newest instance that a revision has seen
    revision INTEGER NOT NULL DEFAULT 0     -- number of its newest revision
);
CREATE INDEX growing_studies ON studies (last_received) WHERE last_seq > upto;
CREATE TABLE revisions (
    id INTEGER PRIMARY KEY,
    study TEXT NOT NULL,
    number INTEGER NOT NULL,
    upto INTEGER NOT NULL,                  -- it takes the study's instances up to this one
    state TEXT NOT NULL,                    -- waiting, analysing, sending, done, dead
    note TEXT NOT NULL DEFAULT '',
    digest TEXT NOT NULL DEFAULT '',        -- of the instances that were analysed
    tries INTEGER NOT NULL DEFAULT 0,
    next_try REAL NOT NULL DEFAULT 0,
    changed REAL NOT NULL,
    UNIQUE (study, number)
);
CREATE INDEX open_revision ON revisions (state) WHERE state NOT IN ('done', 'dead');
CREATE TABLE results (
    sop TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    sop_class TEXT NOT NULL,
    file TEXT NOT NULL
);
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    result TEXT NOT NULL,
    revision INTEGER NOT NULL,
    destination TEXT NOT NULL,
    state TEXT NOT NULL,                    -- waiting, sent (commitment is asked for), stored, dead
    note TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    next_try REAL NOT NULL DEFAULT 0,
    asked TEXT NOT NULL DEFAULT '',         -- transaction UID of the storage commitment
    UNIQUE (result, destination)
);
CREATE INDEX open_deliveries ON deliveries (destination, next_try) WHERE state IN ('waiting', 'sent');
CREATE INDEX deliveries_of_revision ON deliveries (revision);
CREATE TABLE feeds (name TEXT PRIMARY KEY, position TEXT NOT NULL);
CREATE TABLE pulls (
    id INTEGER PRIMARY KEY,
    feed TEXT NOT NULL,
    study TEXT NOT NULL,                    -- what the feed calls it
    size INTEGER NOT NULL DEFAULT 0,        -- instances that the server said it has
    state TEXT NOT NULL,                    -- growing, waiting, done, dead
    note TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    next_try REAL NOT NULL DEFAULT 0,
    UNIQUE (feed, study)
);
"""

_ADDED = """
CREATE TABLE IF NOT EXISTS assessments (    -- what readers of the page sent
    id TEXT PRIMARY KEY,
    result TEXT NOT NULL,                   -- the report that was made of it
    reply TEXT NOT NULL DEFAULT ''          -- what the page was told last
)
"""
"""Tables that came later, and that an older version does not miss."""


Result = tuple[str, str, str]
"""SOPInstanceUID, SOPClassUID and file of a result."""


@dataclass(frozen=True)
class StoredInstance:
    """An instance that was received: SOPInstanceUID, file below the node's folder, SHA-256 of the data set as sent."""

    sop: str
    file: str
    sha256: str


@dataclass(frozen=True)
class Revision:
    """One analysis of a study: of all that had come of it by then.

    Attributes:
        number: 1 for the study's first, one more each time the study has grown.
        upto: It takes the study's instances up to this one.
        tries: How often it was begun.
    """

    id: int
    study: str
    number: int
    upto: int
    tries: int


class Ledger:
    """The state of a node, in a file; ConfigError if that is of another version.

    Its methods may be called from any thread, and from several processes.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            self._connection.row_factory = sqlite3.Row
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")  # a commit has reached the disk
            with self.transaction():
                version = self.value("PRAGMA user_version")
                if version == 0:
                    for statement in _TABLES.split(";\n"):
                        self.write(statement)
                    self.write(f"PRAGMA user_version = {VERSION}")
                if version in (0, VERSION):
                    self.write(_ADDED)
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"{path}: cannot be opened as a node's state ({error})") from error
        if version not in (0, VERSION):
            self.close()
            raise ConfigError(f"{path}: was written by another version of TumorLens; finish its studies with that one")

    def close(self) -> None:
        """Closes the database."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written in the block, or nothing; on the disk when it ends."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.commit()

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """What a query finds."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def value(self, sql: str, *values: Any) -> Any:
        """The first value that a query finds, or None."""
        rows = self.rows(sql, *values)
        return rows[0][0] if rows else None

    def counts(self, sql: str, *values: Any) -> dict[str, int]:
        """What a query of two columns finds, the first the key."""
        return {row[0]: row[1] for row in self.rows(sql, *values)}

    def write(self, sql: str, *values: Any) -> int:
        """Runs a statement that changes something; gives the number of rows changed."""
        with self._lock:
            return self._connection.execute(sql, values).rowcount

    # Instances

    def instance(self, sop: str) -> sqlite3.Row | None:
        """The row of an instance that was received."""
        rows = self.rows("SELECT * FROM instances WHERE sop = ?", sop)
        return rows[0] if rows else None

    def is_result(self, sop: str) -> bool:
        """Whether an instance is one of our own results."""
        return self.value("SELECT 1 FROM results WHERE sop = ?", sop) is not None

    def add_instance(self, sop: str, study: str, file: str, sha256: str, dead: str | None) -> None:
        """Records an instance whose file is on the disk; a dead letter of the same UID gives way."""
        now = time.time()
        with self.transaction():
            self.write("DELETE FROM instances WHERE sop = ?", sop)
            self.write(
                "INSERT INTO instances (sop, study, file, sha256, received, dead) VALUES (?, ?, ?, ?, ?, ?)",
                *(sop, study, file, sha256, now, dead),
            )
            if study and dead is None:
                self.write(
                    "INSERT INTO studies (uid, last_seq, last_received) VALUES (?, last_insert_rowid(), ?) "
                    "ON CONFLICT (uid) DO UPDATE SET last_seq = excluded.last_seq, last_received = ?",
                    *(study, now, now),
                )

    def count_repeat(self, sop: str) -> None:
        """Notes that an instance was sent again. A study that is not analysed yet waits on: it is being sent again."""
        with self.transaction():
            self.write("UPDATE instances SET repeats = repeats + 1 WHERE sop = ?", sop)
            self.write(
                "UPDATE studies SET last_received = ? WHERE last_seq > upto "
                "AND uid = (SELECT study FROM instances WHERE sop = ?)",
                *(time.time(), sop),
            )

    def bury_instance(self, sop: str, reason: str) -> None:
        """Makes an instance a dead letter."""
        self.write("UPDATE instances SET dead = ? WHERE sop = ?", reason, sop)

    # Studies and their revisions

    def open_revisions(self, quiet: float) -> list[Revision]:
        """Makes a revision of each study that has grown and then was quiet for so many seconds."""
        now = time.time()
        opened = []
        # The clock may have been set back: then a study is not held until it catches up.
        sql = "SELECT uid FROM studies WHERE last_seq > upto AND (last_received <= ? OR last_received > ?)"
        if not self.rows(sql, now - quiet, now + quiet):
            return []
        with self.transaction():
            ready = self.rows(sql, now - quiet, now + quiet)
            for (study,) in ready:
                self.write("UPDATE studies SET revision = revision + 1, upto = last_seq WHERE uid = ?", study)
                self.write(
                    "INSERT INTO revisions (study, number, upto, state, changed) "
                    "SELECT uid, revision, upto, 'waiting', ? FROM studies WHERE uid = ?",
                    *(now, study),
                )
                sql = "SELECT id, study, number, upto, tries FROM revisions WHERE study = ? ORDER BY id DESC LIMIT 1"
                opened.append(Revision(*self.rows(sql, study)[0]))
        return opened

    def next_revision(self) -> Revision | None:
        """The revision that waits the longest and is due.

        Studies are analysed one at a time; one that is marked so when the next is asked for was left behind.
        """
        sql = (
            "SELECT id, study, number, upto, tries FROM revisions "
            "WHERE state IN ('waiting', 'analysing') AND next_try <= ? ORDER BY id LIMIT 1"
        )
        rows = self.rows(sql, time.time())
        return Revision(*rows[0]) if rows else None

    def resume(self) -> int:
        """After a start: what was being analysed waits again. Gives the number of revisions.

        Studies that were being received count as heard of now: while nobody listened, silence meant nothing. For the
        same reason storage commitment that was asked for is asked for again.
        """
        with self.transaction():
            self.write("UPDATE deliveries SET asked = '', next_try = 0 WHERE state = 'sent'")
            self.write("UPDATE studies SET last_received = ? WHERE last_seq > upto", time.time())
            return self.write("UPDATE revisions SET state = 'waiting' WHERE state = 'analysing'")

    def set_revision(self, revision: Revision, state: str, note: str = "", *, wait: float = 0.0) -> None:
        """Moves a revision to a state, with a note for the status; it is due in so many seconds."""
        now = time.time()
        began = int(state == "analysing")
        self.write(
            "UPDATE revisions SET state = ?, note = ?, tries = tries + ?, next_try = ?, changed = ? WHERE id = ?",
            *(state, note, began, now + wait, now, revision.id),
        )

    def postpone(self, revision: Revision, wait: float) -> None:
        """Has a revision wait again for so many seconds, without counting the try."""
        self.write(
            "UPDATE revisions SET state = 'waiting', tries = ?, next_try = ? WHERE id = ?",
            *(revision.tries, time.time() + wait, revision.id),
        )

    def instances_of(self, revision: Revision) -> list[StoredInstance]:
        """The instances that a revision takes, without dead letters, in the order they came."""
        rows = self.rows(
            "SELECT sop, file, sha256 FROM instances WHERE study = ? AND seq <= ? AND dead IS NULL ORDER BY seq",
            *(revision.study, revision.upto),
        )
        return [StoredInstance(*row) for row in rows]

    def analysed_before(self, revision: Revision, digest: str) -> bool:
        """Whether an earlier revision of the study has analysed the same instances."""
        sql = (
            "SELECT 1 FROM revisions WHERE study = ? AND id < ? AND digest = ? AND digest <> '' "
            "AND state IN ('sending', 'done')"
        )
        return self.value(sql, revision.study, revision.id, digest) is not None

    def add_results(
        self, revision: Revision, digest: str, results: Sequence[Result], destinations: Sequence[str], note: str
    ) -> None:
        """Records a revision's results and what is to be delivered, and moves it on.

        A result that an earlier revision has made already stays as it is. The digest is that of the instances that were
        analysed; the note is for the status.
        """
        with self.transaction():
            self.write("UPDATE revisions SET digest = ? WHERE id = ?", digest, revision.id)
            for sop, sop_class, file in results:
                row = (sop, revision.id, sop_class, file)
                if not self.write("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)", *row):
                    continue
                for destination in destinations:
                    self.write(
                        "INSERT INTO deliveries (result, revision, destination, state) VALUES (?, ?, ?, 'waiting')",
                        *(sop, revision.id, destination),
                    )
            self.set_revision(revision, "sending", note)
            self.close_revision(revision.id)

    def add_assessment(self, name: str, result: Result, like: str, destinations: Sequence[str]) -> None:
        """Records a report of a reader's assessment, and has it delivered as a result of its revision.

        Args:
            name: The assessment's.
            result: The report.
            like: SOPInstanceUID of a result of the same revision.
            destinations: Who gets it.
        """
        sop, sop_class, file = result
        with self.transaction():
            revision = self.value("SELECT revision FROM results WHERE sop = ?", like)
            self.write("INSERT OR IGNORE INTO assessments (id, result) VALUES (?, ?)", name, sop)
            if not self.write("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)", sop, revision, sop_class, file):
                return
            for destination in destinations:
                self.write(
                    "INSERT INTO deliveries (result, revision, destination, state) VALUES (?, ?, ?, 'waiting')",
                    *(sop, revision, destination),
                )
            self.write("UPDATE revisions SET state = 'sending' WHERE id = ? AND state IN ('done', 'dead')", revision)

    def close_revision(self, revision: int) -> None:
        """Ends a revision whose deliveries have all ended."""
        states = self.counts("SELECT state, count(*) FROM deliveries WHERE revision = ? GROUP BY state", revision)
        if "waiting" not in states and "sent" not in states:
            end = ("dead", f"{states['dead']} results could not be delivered") if "dead" in states else ("done", None)
            self.write(
                "UPDATE revisions SET state = ?, note = coalesce(?, note), changed = ? "
                "WHERE id = ? AND state = 'sending'",
                *(*end, time.time(), revision),
            )
