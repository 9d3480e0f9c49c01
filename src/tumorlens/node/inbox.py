"""Takes instances in, however they come: the bytes as they were sent, on the disk and in the state, or refused."""

from __future__ import annotations

import logging
import re
import threading
from enum import Enum
from pathlib import Path

from tumorlens.errors import InputError
from tumorlens.formats.dicom.header import Header, read_header
from tumorlens.node.ledger import Ledger
from tumorlens.node.privacy import short
from tumorlens.node.spool import Incoming, Spool

_LOG = logging.getLogger(__name__)
_LOCKS = 64
_UID = re.compile(r"[!-~]{1,64}")
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"  # of the file meta information, which this begins (PS3.10 7.1)


class Taken(Enum):
    """What became of an instance. In each case the sender may forget it."""

    NEW = "new"
    REPEAT = "sent again"
    DIFFERENT = "sent again with other content: the first is kept"
    OURS = "one of our own results"
    DEAD = "dead letter"


class Inbox:
    """Takes instances in: bytes to the spool, a row to the ledger. Its methods may be called from any thread."""

    def __init__(self, spool: Spool, ledger: Ledger) -> None:
        self._spool, self._ledger = spool, ledger
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def begin(self, head: bytes) -> Incoming:
        """An instance that comes; see `Spool.begin`."""
        return self._spool.begin(head)

    def take(self, content: bytes | Incoming, sop: str | None = None) -> Taken:
        """Takes an instance. When it returns, the instance is on the disk, bytes and record.

        What cannot be read is taken as well, and becomes a dead letter with the reason: a sender that is refused one
        instance may give up the whole study.

        Args:
            content: A DICOM file (PS3.10), as it was sent.
            sop: The SOPInstanceUID it was announced with; None to take the one that the file names.

        Raises:
            OSError: If it cannot be written, as on a full disk; nothing is kept then.
            TooLarge: If it has more bytes than an instance may have.
            sqlite3.Error: If the state cannot be written.
        """
        incoming = content if isinstance(content, Incoming) else self._written(content)
        try:
            header, fault = _read(incoming.whole())
            # An instance that does not say who it is goes by its content.
            sop = sop or header.media_uid or header.uid or f"sha256:{incoming.digest}"
            with self._locks[hash(sop) % _LOCKS]:
                return self._take(incoming, sop, header.study, fault or _fault(header, sop))
        finally:
            incoming.discard()

    def _written(self, content: bytes) -> Incoming:
        head = 0
        if content[132:140] == _GROUP_LENGTH:
            head = 144 + int.from_bytes(content[140:144], "little")
        incoming = self._spool.begin(content[:head])
        incoming.write(content[head:])
        return incoming

    def _take(self, incoming: Incoming, sop: str, study: str, fault: str | None) -> Taken:
        if self._ledger.is_result(sop):
            # A PACS that forwards what it gets would otherwise have us analyse our own answers for ever.
            _LOG.info("instance %s is one of our own results; not kept", short(sop))
            return Taken.OURS
        digest, earlier = incoming.digest, self._ledger.instance(sop)
        if earlier is not None and (earlier["sha256"] == digest or earlier["dead"] is None):
            self._ledger.count_repeat(sop)
            if earlier["sha256"] == digest:
                return Taken.REPEAT
            _LOG.warning("instance %s was sent again with other content; the first is kept", short(sop))
            return Taken.DIFFERENT
        path = self._spool.place_of(sop)
        path.parent.mkdir(exist_ok=True)
        incoming.keep(path)
        self._ledger.add_instance(
            sop, study if _UID.fullmatch(study) else "", self._spool.relative(path), digest, fault
        )
        if fault is None:
            return Taken.NEW
        _LOG.warning("instance %s is a dead letter: %s", short(sop), fault)
        return Taken.DEAD

    def take_up_strays(self) -> int:
        """Takes files of the spool that the state does not know, of a kill or a restored backup; gives their number."""
        recorded = {row[0] for row in self._ledger.rows("SELECT file FROM instances")}
        strays = [path for path in self._spool.files() if self._spool.relative(path) not in recorded]
        for path in strays:
            header, _ = _read(path)
            taken = self.take(path.read_bytes())
            if self._spool.place_of(header.media_uid or header.uid) != path or taken is Taken.OURS:
                path.unlink()
        return len(strays)


def _read(path: Path) -> tuple[Header, str | None]:
    """The header of a file, and why it makes no sense, or None.

    Raises:
        OSError: If the file cannot be opened.
    """
    try:
        return read_header("", path.open("rb")), None
    except InputError as error:
        return Header(), error.problem


def _fault(header: Header, sop: str) -> str | None:
    """Why an instance cannot be used, or None."""
    # Not by the letter of PS3.5 9.1: there are scanners whose UIDs have letters, or leading zeros.
    if not _UID.fullmatch(header.study):
        return "StudyInstanceUID is missing" if not header.study else "StudyInstanceUID is no UID"
    if header.uid != sop:
        return f"SOPInstanceUID {'is not the one it was announced with' if header.uid else 'is missing'}"
    return None
