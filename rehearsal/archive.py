"""Both ends of a node's wire: a modality that sends, and an archive that keeps count."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pydicom
from pydicom import Dataset
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, build_context, build_role, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from tumorlens.node.dimse import hold_reactor, no_delay
from tumorlens.node.privacy import quieten

_MOST = 120  # presentation contexts of a rehearsed sender


class Archive:
    """A PACS that keeps count, in memory.

    Args:
        title: Its AE title.
        port: TCP port; 0 takes a free one.
        answer: Called with the SOPInstanceUID of each C-STORE; gives the status to answer. It may wait.
        commits_to: Address and AE title of a node that asks for storage commitment; it is told in a new association.
        lost: SOPInstanceUIDs that storage commitment is refused for, once each.

    Attributes:
        stored: By SOPInstanceUID, how often it was stored.
        port: The TCP port.
        before_report: Called before each report of storage commitment. It may wait.
    """

    def __init__(
        self,
        title: str = "ARCHIVE",
        port: int = 0,
        answer: Callable[[str], int] = lambda _: 0x0000,
        commits_to: tuple[str, int, str] | None = None,
        lost: Sequence[str] = (),
    ) -> None:
        quieten()
        self.stored: Counter[str] = Counter()
        self.answer, self.commits_to, self.lost = answer, commits_to, list(lost)
        self.before_report: Callable[[], object] = lambda: None
        self._title = title
        self._ae = AE(title)
        self._ae.maximum_associations = 50
        self._ae.add_supported_context(Verification)
        self._ae.add_supported_context(StorageCommitmentPushModel)
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES)
        handlers: list[Any] = [(evt.EVT_C_STORE, self._store), (evt.EVT_N_ACTION, self._commit)]
        server = self._ae.make_server(
            ("127.0.0.1", port), evt_handlers=handlers, server_class=ThreadedAssociationServer
        )
        self._ae._servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()  # quick to end
        self.port = int(server.server_address[1])

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._ae.shutdown()

    def _store(self, event: evt.Event) -> int:
        sop = str(event.request.AffectedSOPInstanceUID)  # type: ignore[union-attr]
        status = self.answer(sop)
        if status == 0x0000:
            self.stored[sop] += 1
        return status

    def _commit(self, event: evt.Event) -> tuple[int, None]:
        asked = event.action_information
        if self.commits_to is not None:
            threading.Thread(target=self._say, args=(asked, self.commits_to), daemon=True).start()
        return 0x0000, None

    def _say(self, asked: Dataset, where: tuple[str, int, str]) -> None:
        self.before_report()
        said = Dataset()
        said.TransactionUID = asked.TransactionUID
        said.ReferencedSOPSequence, said.FailedSOPSequence = [], []
        for item in asked.ReferencedSOPSequence:
            sop = str(item.ReferencedSOPInstanceUID)
            if sop in self.stored and sop not in self.lost:
                said.ReferencedSOPSequence.append(item)
            else:
                self.lost = [uid for uid in self.lost if uid != sop]
                item.FailureReason = 0x0112  # no such object instance
                said.FailedSOPSequence.append(item)
        kind = 2 if said.FailedSOPSequence else 1
        model = StorageCommitmentPushModel
        association = AE(self._title).associate(
            *where[:2], ae_title=where[2], contexts=[build_context(model)], ext_neg=[build_role(model, scp_role=True)]
        )
        if association.is_established:
            association.send_n_event_report(said, kind, model, "1.2.840.10008.1.20.1.1")
            association.release()


def send(
    port: int,
    instances: Sequence[Dataset | Path],
    title: str = "ANY-SCP",
    caller: str = "MODALITY",
    seconds: float = 30.0,
) -> list[int]:
    """Sends instances to a node on this machine in one association, and waits so many seconds for each answer.

    Returns:
        The status of each answer; -1 where there was none.
    """
    if not instances:
        return []
    quieten()
    ae = AE(caller)
    ae.dimse_timeout = seconds
    kinds = {_class_and_syntax(i) for i in instances}
    contexts = [build_context(kind, syntax) for kind, syntax in sorted(kinds)][:_MOST]
    handlers: list[Any] = [(evt.EVT_CONN_OPEN, no_delay)]
    association = ae.associate("127.0.0.1", port, contexts=contexts, ae_title=title, evt_handlers=handlers)
    hold_reactor(association)
    statuses = []
    for instance in instances:
        if not association.is_established:
            statuses.append(-1)
            continue
        answer = association.send_c_store(instance)
        statuses.append(int(answer.Status) if "Status" in answer else -1)
    if association.is_established:
        association.release()
    return statuses


def _class_and_syntax(instance: Dataset | Path) -> tuple[str, str]:
    ds = pydicom.dcmread(instance, stop_before_pixels=True) if isinstance(instance, Path) else instance
    return str(ds.SOPClassUID), str(ds.file_meta.TransferSyntaxUID)
