"""Takes instances in, however they come: the bytes as they were sent, on the disk and in the state, or refused."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from enum import Enum

from tumorlens.errors import InputError
from tumorlens.files import write_atomically
from tumorlens.formats.dicom.header import Header, read_header
from tumorlens.node.ledger import Ledger
from tumorlens.node.privacy import short
from tumorlens.node.spool import Spool

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
    """Takes instances in. Its one method may be called from any thread.

    Args:
        spool: Where the bytes go.
        ledger: Where it is written down.
    """

    def __init__(self, spool: Spool, ledger: Ledger) -> None:
        self._spool, self._ledger = spool, ledger
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def take(self, content: bytes, sop: str | None = None) -> Taken:
        """Takes an instance. When it returns, the instance is on the disk, bytes and record.

        What cannot be read is taken as well, and becomes a dead letter with the reason: a sender that is refused one
        instance may give up the whole study.

        Args:
            content: A DICOM file (PS3.10), as it was sent.
            sop: The SOPInstanceUID it was announced with; None to take the one that the file names.

        Returns:
            What became of it.

        Raises:
            OSError: If it cannot be written, as on a full disk; nothing is kept then.
            sqlite3.Error: If the state cannot be written.
        """
        digest = hashlib.sha256(_without_meta(content)).hexdigest()
        header, fault = _read(content)
        # An instance that does not say who it is goes by its content.
        sop = sop or header.media_uid or header.uid or f"sha256:{digest}"
        with self._locks[hash(sop) % _LOCKS]:
            return self._take(content, sop, digest, header.study, fault or _fault(header, sop))

    def _take(self, content: bytes, sop: str, digest: str, study: str, fault: str | None) -> Taken:
        if self._ledger.is_result(sop):
            # A PACS that forwards what it gets would otherwise have us analyse our own answers for ever.
            _LOG.info("instance %s is one of our own results; not kept", short(sop))
            return Taken.OURS
        known = self._ledger.instance(sop)
        if known is not None and (known["sha256"] == digest or known["dead"] is None):
            self._ledger.count_repeat(sop)
            if known["sha256"] == digest:
                return Taken.REPEAT
            _LOG.warning("instance %s was sent again with other content; the first is kept", short(sop))
            return Taken.DIFFERENT
        path = self._spool.place_of(sop)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, content, writer=threading.get_ident())  # two may be sent the same at once
        self._ledger.add_instance(
            sop, study if _UID.fullmatch(study) else "", self._spool.relative(path), digest, fault
        )
        if fault is None:
            return Taken.NEW
        _LOG.warning("instance %s is a dead letter: %s", short(sop), fault)
        return Taken.DEAD

    def take_up_strays(self) -> int:
        """Takes files of the spool that the state does not know: of a kill just before, or of a restored backup.

        Returns:
            How many there were.
        """
        known = {row[0] for row in self._ledger.rows("SELECT file FROM instances")}
        strays = [path for path in self._spool.files() if self._spool.relative(path) not in known]
        for path in strays:
            content = path.read_bytes()
            taken = self.take(content)
            header, _ = _read(content)
            if self._spool.place_of(header.media_uid or header.uid) != path or taken is Taken.OURS:
                path.unlink()
        return len(strays)


def _without_meta(content: bytes) -> memoryview:
    """The data set. What precedes it names its transfer syntax, but also who wrote the file."""
    view = memoryview(content)
    if content[132:140] != _GROUP_LENGTH:
        return view
    return view[144 + int.from_bytes(content[140:144], "little") :]


def _read(content: bytes) -> tuple[Header, str | None]:
    """The header of a file, and why it cannot be read, or None."""
    try:
        return read_header("", content), None
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
