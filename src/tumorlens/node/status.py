"""What a node has done and what it could not do, for people: counts, dead letters, and another try."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tumorlens.errors import ConfigError
from tumorlens.node.ledger import Ledger
from tumorlens.node.privacy import short

STATES = ("receiving", "waiting", "analysing", "sending", "done", "dead")
"""The states of a study, in the order it passes them."""


@dataclass(frozen=True)
class DeadLetter:
    """Something that could not be done.

    Attributes:
        id: What `retry` takes, such as "d7".
        what: instance, study, delivery or pull.
        uid: Of the instance, study or result; of a pull, what its server calls the study.
    """

    id: str
    what: str
    uid: str
    reason: str

    @property
    def name(self) -> str:
        """A stand-in for the UID, the one that the log uses."""
        return short(self.uid)


def study_states(ledger: Ledger) -> dict[str, int]:
    """How many studies are at each stage; one that grows again counts as receiving."""
    counts = dict.fromkeys(STATES, 0)
    counts["receiving"] = ledger.value("SELECT count(*) FROM studies WHERE last_seq > upto")
    stages = ledger.counts(
        "SELECT r.state, count(*) FROM revisions r JOIN studies s ON s.uid = r.study AND s.revision = r.number "
        "WHERE s.last_seq <= s.upto GROUP BY r.state"
    )
    return counts | stages


def totals(ledger: Ledger) -> dict[str, int]:
    """Counts of all that the node has: instances, those sent again, results, and deliveries by state."""
    counted = {
        "instances": ledger.value("SELECT count(*) FROM instances"),
        "sent again": ledger.value("SELECT coalesce(sum(repeats), 0) FROM instances"),
        "results": ledger.value("SELECT count(*) FROM results"),
    }
    names = {
        "waiting": "to be delivered",
        "sent": "sent, not yet confirmed",
        "stored": "delivered",
        "dead": "undelivered",
    }
    states = ledger.counts("SELECT state, count(*) FROM deliveries GROUP BY state")
    return counted | {name: states.get(state, 0) for state, name in names.items()}


def dead_letters(ledger: Ledger) -> list[DeadLetter]:
    """Everything that could not be done."""
    queries = {
        "instance": "SELECT 'i' || seq, sop, dead FROM instances WHERE dead IS NOT NULL ORDER BY seq",
        "study": "SELECT 's' || id, study, note FROM revisions r WHERE state = 'dead' "
        "AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.revision = r.id AND d.state = 'dead') ORDER BY id",
        "delivery": "SELECT 'd' || id, result, note FROM deliveries WHERE state = 'dead' ORDER BY id",
        "pull": "SELECT 'p' || id, study, note FROM pulls WHERE state = 'dead' ORDER BY id",
    }
    return [DeadLetter(row[0], what, row[1], row[2]) for what, sql in queries.items() for row in ledger.rows(sql)]


def retry(ledger: Ledger, ids: list[str] | None = None) -> int:
    """Has dead letters tried again, those with these ids or all; a running node notices. Gives their number.

    Raises:
        ConfigError: If there is no such dead letter.
    """
    letters = {letter.id: letter for letter in dead_letters(ledger)}
    unknown = [i for i in ids or () if i not in letters]
    if unknown:
        raise ConfigError(f"{unknown[0]}: there is no such dead letter; `tumorlens node status` lists them")
    chosen = list(letters) if ids is None else ids
    with ledger.transaction():
        for letter in chosen:
            _revive(ledger, letters[letter].what, int(letter[1:]))
    return len(chosen)


def _revive(ledger: Ledger, what: str, number: int) -> None:
    if what == "instance":
        # Its study grows by it. One that names no study stays: nothing can be done with it.
        ledger.write("UPDATE instances SET dead = NULL WHERE seq = ? AND study <> ''", number)
        ledger.write(
            "INSERT INTO studies (uid, last_seq, last_received) "
            "SELECT study, seq, ? FROM instances WHERE seq = ? AND study <> '' "
            "ON CONFLICT (uid) DO UPDATE SET upto = min(upto, excluded.last_seq - 1), "
            "last_received = excluded.last_received",
            *(time.time(), number),
        )
    elif what == "study":
        ledger.write("UPDATE revisions SET state = 'waiting', tries = 0, next_try = 0 WHERE id = ?", number)
    elif what == "delivery":
        ledger.write(
            "UPDATE revisions SET state = 'sending' WHERE id = (SELECT revision FROM deliveries WHERE id = ?)", number
        )
        ledger.write("UPDATE deliveries SET state = 'waiting', tries = 0, next_try = 0 WHERE id = ?", number)
    else:
        ledger.write("UPDATE pulls SET state = 'waiting', tries = 0, next_try = 0 WHERE id = ?", number)
