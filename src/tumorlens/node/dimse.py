"""The DICOM service class user: sends results by C-STORE, asks for storage commitment, finds and retrieves studies."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom import sop_class as sop
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import PresentationContext

from tumorlens.errors import PeerError
from tumorlens.node.config import DicomPeer, StudySource
from tumorlens.node.delivery import Outgoing
from tumorlens.node.inbox import Inbox
from tumorlens.node.privacy import quieten
from tumorlens.node.receiver import SUCCESS, reported, store

MOST_CONTEXTS = 128
"""Presentation contexts that one association may propose: their identifiers are odd, and a byte (PS3.8 9.3.2.2)."""

_STORED = {0x0000, 0x0111, 0xB000, 0xB006, 0xB007}  # 0111: it has it already; B…: stored, with a warning
_PENDING = {0xFF00, 0xFF01}
_REQUEST_COMMITMENT = 1  # action type (PS3.4 J.3.2)
_COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"  # Storage Commitment Push Model SOP Instance, well-known
_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
_ENDED = "ended the association without an answer"
_PATIENCE = 2  # times that it may do so while results are sent, before the rest waits for another time
_GRACE = 1.0  # seconds that an association stays open, for a destination that confirms storage in it
# What a C-GET retrieves; the association must name each class.
_PICTURES = (
    *(sop.MRImageStorage, sop.EnhancedMRImageStorage, sop.EnhancedMRColorImageStorage),  # type: ignore[attr-defined]
    *(sop.LegacyConvertedEnhancedMRImageStorage, sop.SecondaryCaptureImageStorage),  # type: ignore[attr-defined]
    *(sop.CTImageStorage, sop.EnhancedCTImageStorage),  # type: ignore[attr-defined]
    sop.LegacyConvertedEnhancedCTImageStorage,  # type: ignore[attr-defined]
)


class Peer:
    """Another application entity.

    Args:
        title: Our AE title.
        peer: Where it is.
    """

    def __init__(self, title: str, peer: DicomPeer) -> None:
        quieten()
        self._title, self.peer = title, peer

    @contextmanager
    def talk(
        self, contexts: Sequence[PresentationContext], *, handlers: Sequence[Any] = (), roles: Sequence[Any] = ()
    ) -> Iterator[Association]:
        """An association, released at the end of the block.

        Args:
            contexts: What is proposed.
            handlers: For what the other side sends in it.
            roles: Role selections.

        Raises:
            PeerError: If it cannot be opened.
        """
        peer = self.peer
        ae = AE(self._title)
        ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = peer.seconds
        try:
            tls = (peer.tls.client(), peer.tls.hostname or peer.host) if peer.tls else None
            association = ae.associate(
                peer.host,
                peer.port,
                contexts=list(contexts),
                ae_title=peer.ae_title,
                ext_neg=list(roles),
                tls_args=tls,
                evt_handlers=[(evt.EVT_CONN_OPEN, no_delay), *handlers],
            )
        except (OSError, RuntimeError) as error:
            raise PeerError(f"{peer.name}: no association ({type(error).__name__})") from error
        if not association.is_established:
            raise PeerError(f"{peer.name}: {_refusal(association)}")
        hold_reactor(association)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()

    def echo(self) -> None:
        """C-ECHO.

        Raises:
            PeerError: If it does not answer, or not with success.
        """
        with self.talk([build_context(sop.Verification)]) as association:  # type: ignore[attr-defined]
            self.expect(association.send_c_echo())

    def expect(self, status: Dataset, good: frozenset[int] | set[int] = frozenset({SUCCESS})) -> int:
        """The status of an answer.

        Raises:
            PeerError: If there was none, or it is none of the good ones.
        """
        if "Status" not in status:
            raise PeerError(f"{self.peer.name}: ended the association without an answer")
        if int(status.Status) not in good:
            raise PeerError(f"{self.peer.name}: answered with status {int(status.Status):04X}")
        return int(status.Status)


class DicomSender(Peer):
    """Brings results to a destination by C-STORE.

    Args:
        title: Our AE title.
        peer: The destination.
        report: Takes what it says of storage commitment, if it says so in our association.
    """

    def __init__(self, title: str, peer: DicomPeer, report: Callable[[Dataset], None]) -> None:
        super().__init__(title, peer)
        self._report = report

    def send(self, results: Sequence[Outgoing]) -> Iterator[tuple[Outgoing, str | None]]:
        """Sends results; see `delivery.Sender`. Proposes the SOP classes among them, and no others."""
        ended = 0
        for group, contexts in _proposals(results):
            left = deque(group)
            while left:
                with self.talk(contexts) as association:
                    while left and association.is_established:
                        result = left.popleft()
                        problem = self._send_one(association, result)
                        if problem == _ENDED and (ended := ended + 1) > _PATIENCE:
                            raise PeerError(f"{self.peer.name}: {_ENDED}")
                        yield result, problem

    def _send_one(self, association: Association, result: Outgoing) -> str | None:
        try:
            status = association.send_c_store(result.path)
        except ValueError:
            return f"{self.peer.name}: does not take {UID(result.sop_class).name}"
        except OSError as error:
            return f"the result's file cannot be read ({error.strerror})"
        if "Status" not in status:
            # Perhaps because of this very result; the others go on in a new association.
            if association.is_established:
                association.abort()
            return _ENDED
        code = int(status.Status)
        return None if code in _STORED else f"{self.peer.name}: answered with status {code:04X}"

    def ask_commitment(self, results: Sequence[Outgoing], transaction: str) -> None:
        """Asks for storage commitment (PS3.4 J.3.2); see `delivery.Sender`."""
        asked = Dataset()
        asked.TransactionUID = transaction
        asked.ReferencedSOPSequence = []
        for result in results:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = result.sop_class, result.sop
            asked.ReferencedSOPSequence.append(item)
        heard = threading.Event()

        def hear(event: evt.Event) -> tuple[int, None]:
            status = reported(self._report, event)
            heard.set()
            return status, None

        model = sop.StorageCommitmentPushModel  # type: ignore[attr-defined]
        with self.talk([build_context(model)], handlers=[(evt.EVT_N_EVENT_REPORT, hear)]) as association:
            status, _ = association.send_n_action(asked, _REQUEST_COMMITMENT, model, _COMMITMENT_INSTANCE)
            self.expect(status)
            heard.wait(_GRACE)


class Retriever(Peer):
    """Finds a study at a source, and has it sent (PS3.4 C, Study Root).

    Args:
        title: Our AE title.
        source: The source.
        inbox: Takes what a C-GET brings.
    """

    def __init__(self, title: str, source: StudySource, inbox: Inbox) -> None:
        super().__init__(title, source)
        self._how, self._inbox = source.retrieve, inbox

    def find(self, study: str) -> int:
        """C-FIND.

        Args:
            study: StudyInstanceUID.

        Returns:
            The number of the study's instances; 0 if the source has it and does not say.

        Raises:
            PeerError: If the source does not have it, or does not answer.
        """
        query = Dataset()
        query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", study
        query.NumberOfStudyRelatedInstances = None
        model = sop.StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]
        found: list[Dataset] = []
        with self.talk([build_context(model)]) as association:
            for status, identifier in association.send_c_find(query, model):
                self.expect(status, _PENDING | {SUCCESS})
                found += [identifier] if identifier else []
        for identifier in found:
            if str(identifier.get("StudyInstanceUID") or "") == study:
                return int(identifier.get("NumberOfStudyRelatedInstances") or 0)
        raise PeerError(f"{self.peer.name}: has no such study")

    def retrieve(self, study: str) -> tuple[int, int]:
        """C-MOVE to our own AE title, or C-GET.

        Args:
            study: StudyInstanceUID.

        Returns:
            Number of instances that came, and that failed, as the source counts them.

        Raises:
            PeerError: If the source refuses, fails, or does not answer.
        """
        query = Dataset()
        query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", study
        if self._how == "move":
            model = sop.StudyRootQueryRetrieveInformationModelMove  # type: ignore[attr-defined]
            with self.talk([build_context(model)]) as association:
                return self._counted(association.send_c_move(query, self._title, model))
        model = sop.StudyRootQueryRetrieveInformationModelGet  # type: ignore[attr-defined]
        contexts = [build_context(model), *(build_context(uid, list(_PLAIN)) for uid in _PICTURES)]
        roles = [build_role(uid, scp_role=True) for uid in _PICTURES]
        handlers = [(evt.EVT_C_STORE, lambda event: store(self._inbox, event))]
        with self.talk(contexts, handlers=handlers, roles=roles) as association:
            return self._counted(association.send_c_get(query, model))

    def _counted(self, answers: Iterator[tuple[Dataset, Dataset | None]]) -> tuple[int, int]:
        last = Dataset()
        for status, _ in answers:
            last = status
        # B000: some sub-operations failed; how many it says.
        self.expect(last, {SUCCESS, 0xB000})
        came = int(last.get("NumberOfCompletedSuboperations") or 0)
        came += int(last.get("NumberOfWarningSuboperations") or 0)
        return came, int(last.get("NumberOfFailedSuboperations") or 0)


class Checkpoint(threading.Event):
    """Where the thread of an association stops while another sends in it and waits for the answer.

    pynetdicom 3.0.4 takes that thread for stopped when it has only just gone on. It then takes the answer away from
    the one who waits for it, and who gives up in the end: once in some thousand requests, if answers are quick.
    """

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._stopped = False
        self.set()

    def wait(self, _timeout: float | None = None) -> bool:
        """Stops the thread until `set`."""
        with self._changed:
            self._stopped = not self.is_set()
            self._changed.notify_all()
            self._changed.wait_for(self.is_set)
            self._stopped = False
        return True

    def set(self) -> None:
        """Lets the thread go on."""
        with self._changed:
            super().set()
            self._changed.notify_all()

    def clear(self) -> None:
        """Has the thread stop, and waits until it has; not for long, for it may have ended."""
        with self._changed:
            super().clear()
            self._changed.wait_for(lambda: self._stopped, 1.0)


def hold_reactor(association: Association) -> None:
    """Makes an association that we opened lose no answer; see `Checkpoint`."""
    association._reactor_checkpoint = Checkpoint()


def no_delay(event: evt.Event) -> None:
    """Sends each PDU at once. Else TCP holds back the second of a message until the first is acknowledged, 40 ms."""
    wire = event.assoc.dul.socket
    if wire is not None and wire.socket is not None:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _proposals(results: Sequence[Outgoing]) -> Iterator[tuple[list[Outgoing], list[PresentationContext]]]:
    """Results in groups that one association can propose contexts for: one a SOP class and encoding."""
    groups: list[tuple[list[Outgoing], dict[tuple[str, UID], PresentationContext]]] = [([], {})]
    for result in results:
        syntax = _syntax(result)
        key = (result.sop_class, ExplicitVRLittleEndian if syntax in _PLAIN else syntax)
        if key not in groups[-1][1] and len(groups[-1][1]) == MOST_CONTEXTS:
            groups.append(([], {}))
        members, contexts = groups[-1]
        members.append(result)
        contexts.setdefault(key, build_context(result.sop_class, list(_PLAIN) if syntax in _PLAIN else [syntax]))
    return ((members, list(contexts.values())) for members, contexts in groups if members)


def _syntax(result: Outgoing) -> UID:
    from pydicom.filereader import read_file_meta_info

    try:
        return UID(read_file_meta_info(result.path).TransferSyntaxUID)
    except (OSError, AttributeError):
        return ExplicitVRLittleEndian  # sending it says what is wrong


def _refusal(association: Association) -> str:
    # An answer that is there before pynetdicom looks whether it has connected is left lying, as if there were none.
    answer = association.acceptor.primitive if association.is_rejected else association.dul.receive_pdu(wait=False)
    if isinstance(answer, A_ASSOCIATE) and answer.result:
        return f"rejected the association (source {answer.result_source}, reason {answer.diagnostic})"
    return "cannot be reached, or took the association and accepts nothing"
