"""An association that others open: pynetdicom's, held to limits. What it receives is bounded, in bytes and in time.

pynetdicom 3.0.4 reads a PDU of any announced length, keeps a message in memory until it is whole, takes requests as
fast as they come, and lets an error over what it was sent end a thread with a traceback. Its four parts stand here with
that mended: the socket, the upper layer, the messages, and the association that holds them.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Any, NoReturn

from pynetdicom import AE, evt
from pynetdicom._globals import MODE_ACCEPTOR
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_CANCEL, C_STORE
from pynetdicom.dsutils import create_file_meta, encode_file_meta
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket

from tumorlens import limits
from tumorlens.errors import PeerError
from tumorlens.node.door import Refusal
from tumorlens.node.spool import Incoming

_LOG = logging.getLogger(__name__)
_FAREWELL = 2.0  # seconds for the other side to close after an abort; its place is taken until then

Open = Callable[[bytes], Incoming]
"""Begins an instance, with what stands before its data set in a file."""


def _close(self: AssociationSocket) -> None:
    """Ends a connection. pynetdicom 3.0.4 leaves it open where the other side was quicker: there is nothing to end."""
    if (connection := self.socket) is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


# In every association, also those that we open.
AssociationSocket._shutdown_socket = _close  # type: ignore[method-assign]


class Acceptor(Association):
    """An association that another asked for. `start` begins it.

    Args:
        ae: Who we are.
        connection: The other side's.
        address: Its IP address.
        request: Its association request, a whole PDU.
        contexts: What it may propose.
        handlers: What answers its requests, by event.
        begin: Where the instances that it sends go.
    """

    def __init__(
        self,
        ae: AE,
        connection: socket.socket,
        address: str,
        request: bytes,
        contexts: Sequence[PresentationContext],
        handlers: Sequence[tuple[Any, Callable[[evt.Event], Any]]],
        begin: Open,
    ) -> None:
        super().__init__(ae, MODE_ACCEPTOR)
        self.address = address
        self.dul = _UpperLayer(self)
        self.dimse = _Messages(self, begin)
        self.acse_timeout = _FAREWELL
        self.name = "association"
        self.set_socket(_Wire(self, connection, request))
        self.acceptor.maximum_length = limits.PDU
        self.acceptor.ae_title = ae.ae_title
        self.acceptor.address_info = AddressInformation.from_tuple(connection.getsockname())
        self.requestor.address_info = AddressInformation.from_tuple(connection.getpeername())
        self.acceptor.implementation_class_uid = ae.implementation_class_uid
        self.acceptor.implementation_version_name = ae.implementation_version_name
        self.acceptor.supported_contexts = list(contexts)
        for event, handler in handlers:
            self.bind(event, handler)

    def run_reactor(self) -> None:
        """The thread of the association."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - whatever was sent; the text may quote it
            self.tell(f"broke down ({type(error).__name__})")
            self.abort()
        finally:
            self.dul.kill_dul()
            self.dul.socket.close()  # type: ignore[union-attr]
            self.dimse.discard()  # type: ignore[attr-defined]

    def tell(self, what: str) -> None:
        """Logs why the association ends."""
        _LOG.warning("an association with %s %s", self.address, what)


class _Wire(AssociationSocket):
    """The connection, whose first bytes were read already."""

    def __init__(self, association: Acceptor, connection: socket.socket, first: bytes) -> None:
        connection.settimeout(limits.PDU_SECONDS)
        super().__init__(association, client_socket=connection)
        self._first = bytearray(first)

    @property
    def ready(self) -> bool:
        """Whether there is something to read, or the end."""
        return bool(self._first) or super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """So many bytes, or fewer if the other side closes: a PDU's head, or the rest of it.

        Raises:
            OSError: If it is a PDU beyond what was agreed on, or too slow.
        """
        if nr_bytes > limits.PDU and not self._first:
            self._end(f"sent a PDU of {nr_bytes:,} bytes, where {limits.PDU:,} are agreed on")
        data = self._first[:nr_bytes]
        del self._first[:nr_bytes]
        assert self.socket is not None
        until = time.monotonic() + limits.PDU_SECONDS
        while len(data) < nr_bytes:
            self.socket.settimeout(max(until - time.monotonic(), 0.001))
            try:
                more = self.socket.recv(min(nr_bytes - len(data), limits.PDU))
            except TimeoutError:
                self._end(f"took more than {limits.PDU_SECONDS:g} s over a PDU")
            if not more:
                break
            data += more
        self.socket.settimeout(limits.PDU_SECONDS)
        return data

    def _end(self, reason: str) -> NoReturn:
        self.assoc.tell(reason)  # type: ignore[attr-defined]
        self.send(Refusal.abort(reason, 6).answer)
        raise OSError(reason)


class _UpperLayer(DULServiceProvider):
    """The upper layer, which says in a line what ended it."""

    def run_reactor(self) -> None:
        """The thread of the upper layer."""
        try:
            super().run_reactor()
        except Exception as error:  # noqa: BLE001 - whatever was sent; the text may quote it
            self.assoc.tell(f"sent what makes no sense ({type(error).__name__})")  # type: ignore[attr-defined]
            self.assoc._kill = True
            self.assoc.is_established = False
        finally:
            if self.socket is not None:
                self.socket.close()


class _Messages(DIMSEServiceProvider):
    """The messages, put together of fragments: an instance in a file of the spool, anything else in memory."""

    def __init__(self, association: Acceptor, begin: Open) -> None:
        super().__init__(association)
        self._begin, self._began = begin, 0.0

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Takes a fragment; hands on a message that is whole with it. Whatever is wrong aborts the association."""
        try:
            self._receive(primitive)
        except Exception as error:  # noqa: BLE001 - whatever was sent; the text may quote it
            senseless = f"sent a message that makes no sense ({type(error).__name__})"
            self.assoc.tell(str(error) if isinstance(error, PeerError) else senseless)  # type: ignore[attr-defined]
            self.discard()
            self.dul.event_queue.put("Evt19")  # an invalid PDU, as pynetdicom has it too

    def _receive(self, primitive: P_DATA) -> None:
        if self.message is None:
            self.message, self._began = DIMSEMessage(), time.monotonic()
            self.message.encoded_command_set = _Bounded()
            self.message.data_set = _DataSet(self.message, self.assoc, self._begin)
        if not self.message.decode_msg(primitive, self.assoc):
            if time.monotonic() - self._began > limits.MESSAGE_SECONDS:
                raise PeerError(f"took more than {limits.MESSAGE_SECONDS:g} s over a message")
            return
        message, self.message = self.message, None
        request = message.message_to_primitive()
        if isinstance(request, C_CANCEL):
            return  # there is nothing that could be cancelled
        self.msg_queue.put((message.context_id, request))  # type: ignore[arg-type]
        if self.msg_queue.qsize() > limits.PIPELINE:
            raise PeerError("sent requests without waiting for answers")

    def discard(self) -> None:
        """Removes the files of instances that nobody will ask for any more."""
        pending = [self.message.data_set] if self.message else []
        self.message = None
        while not self.msg_queue.empty():
            _, request = self.msg_queue.get()
            if isinstance(request, C_STORE):
                pending.append(request.DataSet)
        for data_set in pending:
            if isinstance(data_set, _DataSet) and data_set.incoming:
                data_set.incoming.discard()


class _Bounded(BytesIO):
    """What a message holds, in memory."""

    def write(self, data: Any) -> int:
        """Adds some.

        Raises:
            PeerError: If it is too much.
        """
        if self.tell() + len(data) > limits.MESSAGE:
            raise PeerError(f"sent a message of more than {limits.MESSAGE:,} bytes")
        return super().write(data)


class _DataSet(_Bounded):
    """The data set of a message. Where the command before it is a C-STORE, it goes into a file.

    Attributes:
        incoming: The instance.
    """

    def __init__(self, message: DIMSEMessage, association: Association, begin: Open) -> None:
        super().__init__()
        self._message, self._association, self._begin = message, association, begin
        self.incoming: Incoming | None = None

    def write(self, data: Any) -> int:
        """Adds some. If a file cannot be written, or grows too large, the answer will say so."""
        if self.incoming is None and isinstance(self._message, C_STORE_RQ):
            self.incoming = self._begin(self._head())
        return super().write(data) if self.incoming is None else self.incoming.write(data)

    def _head(self) -> bytes:
        """What stands before a data set in a file (PS3.10 7.1)."""
        command = self._message.command_set
        context = self._association._accepted_cx[self._message.context_id]  # type: ignore[index]
        meta = create_file_meta(
            sop_class_uid=command.AffectedSOPClassUID,
            sop_instance_uid=command.AffectedSOPInstanceUID,
            transfer_syntax=context.transfer_syntax[0],
        )
        return bytes(128) + b"DICM" + encode_file_meta(meta)


def incoming_of(event: evt.Event) -> Incoming | None:
    """The instance of a C-STORE request, if it came by an association that another opened."""
    data_set = getattr(event.request, "DataSet", None)
    return data_set.incoming if isinstance(data_set, _DataSet) else None
