"""The DICOM service class provider: answers C-ECHO, takes instances by C-STORE, hears of storage commitment."""

from __future__ import annotations

import ipaddress
import logging
import socket
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]

from tumorlens import limits
from tumorlens.errors import ConfigError, TooLarge
from tumorlens.files import NO_ROOM
from tumorlens.node.association import Acceptor, incoming_of
from tumorlens.node.config import Caller, NodeConfig
from tumorlens.node.door import Door, Refusal
from tumorlens.node.inbox import Inbox
from tumorlens.node.privacy import quieten, short

# Status codes: PS3.4 B.2.3 and PS3.7 C.
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
PROCESSING_FAILURE = 0x0110

Report = Callable[[Dataset], None]
"""Takes the event information of a storage commitment (PS3.4 J.3.3)."""

_LOG = logging.getLogger(__name__)


class Receiver:
    """Listens for associations.

    Args:
        config: Who we are, and whom we listen to.
        inbox: Takes what comes.
        report: Takes what a destination says of storage commitment.

    Raises:
        ConfigError: From `start`, if the address is taken or the certificate cannot be used.
    """

    def __init__(self, config: NodeConfig, inbox: Inbox, report: Report) -> None:
        quieten()
        self.config = config
        self._inbox, self._report = inbox, report
        self._ae = AE(config.ae_title)
        self._ae.maximum_pdu_size = limits.PDU
        self._ae.maximum_associations = config.associations
        self._ae.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        # In an association that a destination opens to report, it is the provider and we are the user.
        self._ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        self._door: Door | None = None
        self._associations: list[Acceptor] = []

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        assert self._door is not None
        return self._door.port

    def start(self) -> None:
        """Begins to listen, in threads of its own."""
        config = self.config
        try:
            context = config.tls.server() if config.tls else None
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"tls: the certificate cannot be used ({error.strerror or error})") from error
        try:
            self._door = Door((config.bind, config.port), context, self._admit)
        except OSError as error:
            where = f"{config.bind}:{config.port}"
            raise ConfigError(f"{where}: cannot be listened on ({error.strerror}); choose another port") from error
        _LOG.info("%s listens on %s:%d", config.ae_title, config.bind, self.port)
        if not config.callers and not _is_loopback(config.bind):
            _LOG.warning("anyone who reaches that address may send; name those who may under callers")

    def stop(self, seconds: float = 10.0) -> None:
        """Ends it: no new associations at once, and those that are open after some seconds.

        Args:
            seconds: How long senders may take to end theirs. What they were not answered, they will send again.
        """
        if self._door is None:
            return
        door, self._door = self._door, None
        door.close()
        until = time.monotonic() + seconds
        while any(a.is_established for a in self._associations) and time.monotonic() < until:
            time.sleep(0.05)
        for association in self._associations:
            association.abort()

    def _admit(self, connection: socket.socket, address: str, request: bytes) -> Refusal | None:
        """Begins an association, or says why not."""
        try:
            pdu = A_ASSOCIATE_RQ()
            pdu.decode(request)
            title = str(pdu.to_primitive().calling_ae_title or "")
        except Exception as error:  # noqa: BLE001 - whatever a stranger sends; the text may quote it
            return Refusal.abort(f"sent an association request that makes no sense ({type(error).__name__})", 6)
        if not admitted(self.config.callers, title, address):
            return Refusal.rejection(f"called itself {title!a}, which is not among the callers", 1, 1, 3)
        self._associations = [a for a in self._associations if a.is_alive()]
        if len(self._associations) >= self.config.associations:
            problem = f"called itself {title!a} and came while {self.config.associations} associations were open"
            return Refusal.rejection(problem, 2, 3, 2)
        handlers: list[Any] = [
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._reported),
        ]
        begin, contexts = self._inbox.begin, self._ae.supported_contexts
        association = Acceptor(self._ae, connection, address, request, contexts, handlers, begin)
        self._associations.append(association)
        association.start()
        return None

    def _store(self, event: evt.Event) -> int:
        """Answers a C-STORE, once the instance is safe."""
        return store(self._inbox, event)

    def _reported(self, event: evt.Event) -> tuple[int, None]:
        return reported(self._report, event), None


def store(inbox: Inbox, event: evt.Event) -> int:
    """Takes the instance of a C-STORE request, and gives the status to answer it with.

    The data set is neither decoded nor encoded again: what is kept is what was sent.
    """
    sop = "unknown"
    try:
        sop = str(event.request.AffectedSOPInstanceUID or "")  # type: ignore[union-attr]
        inbox.take(incoming_of(event) or event.encoded_dataset(), sop)
    except TooLarge as error:
        _LOG.error("instance %s refused: %s; the sender was told A700", short(sop), error.problem)
        return OUT_OF_RESOURCES
    except (OSError, sqlite3.OperationalError) as error:
        full = getattr(error, "errno", None) in NO_ROOM or "full" in str(error)
        problem = "the disk is full" if full else f"it cannot be written ({type(error).__name__})"
        _LOG.error("instance %s refused: %s; the sender was told A700", short(sop), problem)
        return OUT_OF_RESOURCES
    except Exception as error:  # noqa: BLE001 - whatever a stranger sends, the node goes on; the text may quote it
        _LOG.error("instance %s refused: %s", short(sop), type(error).__name__)
        return CANNOT_UNDERSTAND
    return SUCCESS


def reported(report: Report, event: evt.Event) -> int:
    """Passes on an N-EVENT-REPORT of storage commitment, and gives the status to answer it with."""
    try:
        report(event.event_information)
    except Exception as error:  # noqa: BLE001
        _LOG.error("a report of storage commitment was not understood: %s", type(error).__name__)
        return PROCESSING_FAILURE
    return SUCCESS


def admitted(callers: Sequence[Caller], title: str, address: str) -> bool:
    """Whether an AE title may open an association from an IP address."""
    if not callers:
        return True
    place = ipaddress.ip_address(address.split("%")[0])
    place = getattr(place, "ipv4_mapped", None) or place
    return any(
        caller.ae_title == title.strip()
        and (not caller.addresses or any(place in ipaddress.ip_network(net, strict=False) for net in caller.addresses))
        for caller in callers
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
