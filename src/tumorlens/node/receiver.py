"""The DICOM service class provider: answers C-ECHO, takes instances by C-STORE, hears of storage commitment."""

from __future__ import annotations

import ipaddress
import logging
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from tumorlens.errors import ConfigError
from tumorlens.files import NO_ROOM
from tumorlens.node.config import Caller, NodeConfig
from tumorlens.node.inbox import Inbox
from tumorlens.node.privacy import quieten, short

# Status codes: PS3.4 B.2.3 and PS3.7 C.
SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
PROCESSING_FAILURE = 0x0110

Report = Callable[[Dataset], None]
"""Takes the event information of a storage commitment (PS3.4 J.3.3)."""

_PDU = 128 * 1024  # bytes; the default of 16 KiB makes thousands of a study
_HANDSHAKE = 30.0  # seconds

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
        self._ae.maximum_pdu_size = _PDU
        self._ae.maximum_associations = config.associations
        self._ae.add_supported_context(Verification)
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        # In an association that a destination opens to report, it is the provider and we are the user.
        self._ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
        self._server: ThreadedAssociationServer | None = None

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begins to listen, in threads of its own."""
        config = self.config
        handlers: list[Any] = [
            (evt.EVT_REQUESTED, _admit, [config.callers]),
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_N_EVENT_REPORT, self._reported),
        ]
        try:
            context = config.tls.server() if config.tls else None
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(f"tls: the certificate cannot be used ({error.strerror or error})") from error
        try:
            self._server = self._ae.make_server(
                (config.bind, config.port),
                evt_handlers=handlers,
                ssl_context=context,
                server_class=_Server,
            )
        except OSError as error:
            where = f"{config.bind}:{config.port}"
            raise ConfigError(f"{where}: cannot be listened on ({error.strerror}); choose another port") from error
        self._ae._servers.append(self._server)  # shutdown takes it from there
        threading.Thread(target=self._server.serve_forever, args=(0.1,), name="receiver", daemon=True).start()
        _LOG.info("%s listens on %s:%d", config.ae_title, config.bind, self.port)
        if not config.callers and not _is_loopback(config.bind):
            _LOG.warning("anyone who reaches that address may send; name those who may under callers")

    def stop(self, seconds: float = 10.0) -> None:
        """Ends it: no new associations at once, and those that are open after some seconds.

        Args:
            seconds: How long senders may take to end theirs. What they were not answered, they will send again.
        """
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        until = time.monotonic() + seconds
        while any(a.is_established for a in server.active_associations) and time.monotonic() < until:
            time.sleep(0.05)
        for association in server.active_associations:
            association.abort()

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
        inbox.take(event.encoded_dataset(), sop)
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


def _admit(event: evt.Event, callers: Sequence[Caller]) -> None:
    """Rejects an association whose caller is not on the list: permanently, "calling AE title not recognised"."""
    primitive = event.assoc.requestor.primitive
    title = str(getattr(primitive, "calling_ae_title", "") or "")
    address = str(event.assoc.requestor.address or "")
    if admitted(callers, title, address):
        return
    _LOG.warning("an association from %s as %s was rejected: it is not among the callers", address, ascii(title))
    event.assoc.acse.send_reject(0x01, 0x01, 0x03)
    event.assoc.is_rejected = True
    event.assoc.kill()


class _Server(ThreadedAssociationServer):
    """Leaves the TLS handshake to the association's own thread: else one silent client would keep all others out."""

    daemon_threads = True

    def get_request(self) -> tuple[socket.socket, Any]:
        assert isinstance(self.socket, socket.socket)
        client, address = self.socket.accept()
        if self.ssl_context:
            client.settimeout(_HANDSHAKE)
            client = self.ssl_context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        if self.ssl_context:
            try:
                request.do_handshake()
            except OSError as error:
                _LOG.warning("a TLS handshake with %s failed: %s", client_address[0], type(error).__name__)
                self.shutdown_request(request)
                return
        super().process_request_thread(request, client_address)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """Says it in a line; the default prints a traceback, whose frames may hold a data set."""
        _LOG.error("an association with %s broke down", client_address[0])
