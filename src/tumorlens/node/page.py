"""The page beside the node: studies go there once they are analysed, and readers' assessments come back.

Node and page share a folder and nothing else, so either may be down: what the page is to have waits in the spool, and
what readers sent waits in the folder.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from pathlib import Path

import pydicom
from pydantic import BaseModel

from tumorlens import limits
from tumorlens.errors import ConfigError, DataError
from tumorlens.files import sync_file, sync_folder, write_atomically
from tumorlens.formats.checks import QUIET
from tumorlens.node.config import NodeConfig
from tumorlens.node.ledger import Ledger
from tumorlens.node.privacy import short
from tumorlens.node.spool import Spool
from tumorlens.results.assessment import Assessment, make_assessment
from tumorlens.results.handover import ASSESSMENTS, REPLIES, SOURCES, STUDIES, Sources

_LOG = logging.getLogger(__name__)
_NAME = re.compile(r"[0-9a-f]{16}")
_REPORT = "1.2.840.10008.5.1.4.1.1.88.34"
_LONGEST = 50 * limits.MB  # bytes of an assessment


class Reply(BaseModel, frozen=True):
    """What became of an assessment: "waiting", "delivered" or "failed", and why."""

    state: str
    note: str = ""


class Page:
    """The node's side of what it shares with the page.

    Raises:
        ConfigError: If the folder cannot be made.
    """

    def __init__(self, config: NodeConfig, spool: Spool, ledger: Ledger) -> None:
        self._spool, self._ledger, self._folder = spool, ledger, config.exchange
        self._destinations = config.for_assessments
        self._organization = config.page.organization if config.page else ""
        try:
            if not self._folder.exists():
                self._folder.mkdir(parents=True, mode=0o700)
            for name in (STUDIES, ASSESSMENTS, REPLIES):
                (self._folder / name).mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self._folder}: cannot be written ({error.strerror}); it is page.folder") from error

    def step(self) -> bool:
        """Hands over what was analysed, takes what readers sent, and tells what became of it.

        Gives whether there was anything to hand over or to take.
        """
        handed = [self._hand_over(folder) for folder in sorted(self._spool.handover.iterdir())]
        sent = sorted((self._folder / ASSESSMENTS).glob("*.json"))
        for path in sent:
            self._take(path)
        self._reply()
        return any(handed) or bool(sent)

    def _hand_over(self, folder: Path) -> bool:
        """Moves a study to the page, if its revision is in the state: else it is analysed once more."""
        results = self._spool.relative(self._spool.results_of(folder.name))
        if self._ledger.value("SELECT 1 FROM results WHERE file = ?", f"{results}/001.dcm") is None:
            return False
        target = self._folder / STUDIES / folder.name
        part = target.with_name(f".{folder.name}.part")
        if not target.exists():
            shutil.rmtree(part, ignore_errors=True)
            shutil.copytree(folder, part, copy_function=_link_or_copy)
            for file in part.iterdir():
                sync_file(file)
            part.rename(target)
            sync_folder(target.parent)
        shutil.rmtree(folder)
        _LOG.info("study %s: handed over to the page", folder.name)
        return True

    def _take(self, path: Path) -> None:
        """Makes a report of what a reader sent, and has it delivered; or says why not."""
        name = path.stem
        if not _NAME.fullmatch(name):
            path.unlink()
            return
        try:
            assessment = _read(path)
            sop = self._keep(assessment)
        except DataError as error:
            _LOG.warning("assessment %s: %s", name, error)
            self._tell(name, Reply(state="failed", note=str(error)))
        else:
            _LOG.info("assessment %s: result %s, for %d destinations", name, short(sop), len(self._destinations))
        path.unlink()

    def _keep(self, assessment: Assessment) -> str:
        """Keeps the report of an assessment as a result; gives its UID. DataError if there can be none."""
        if not self._destinations:
            raise DataError("the node has no destination for assessments; add one to node.yaml")
        folder = self._spool.results_of(assessment.origin)
        like = f"{self._spool.relative(folder)}/%"
        of_ours = "SELECT sop, file FROM results WHERE file LIKE ? AND sop_class = ? AND file NOT LIKE '%/assessment-%'"
        rows = self._ledger.rows(of_ours, like, _REPORT)
        if not rows or not (folder / SOURCES).exists():
            raise DataError("the node does not know the study any more")
        sources = Sources.model_validate_json((folder / SOURCES).read_bytes())
        with QUIET:
            report = pydicom.dcmread(self._spool.absolute(rows[0]["file"]))
            result = make_assessment(assessment, sources, report, self._organization)
            file = folder / f"assessment-{assessment.id}.dcm"
            result.save_as(file, enforce_file_format=True)
        sync_file(file)
        sync_folder(folder)
        made = (str(result.SOPInstanceUID), str(result.SOPClassUID), self._spool.relative(file))
        self._ledger.add_assessment(assessment.id, made, rows[0]["sop"], self._destinations)
        return made[0]

    def _reply(self) -> None:
        """Tells the page of each assessment that is not delivered yet how it stands, where that has changed."""
        open_ones = self._ledger.rows("SELECT id, result, reply FROM assessments WHERE reply <> 'delivered'")
        for row in open_ones:
            deliveries = self._ledger.rows("SELECT state, note FROM deliveries WHERE result = ?", row["result"])
            states = {d["state"] for d in deliveries}
            reply = Reply(state="delivered" if states <= {"stored"} else "waiting")
            if not states & {"waiting", "sent"} and "dead" in states:
                reply = Reply(state="failed", note=next(d["note"] for d in deliveries if d["state"] == "dead"))
            if reply.state != row["reply"]:
                self._tell(row["id"], reply)
                self._ledger.write("UPDATE assessments SET reply = ? WHERE id = ?", reply.state, row["id"])

    def _tell(self, name: str, reply: Reply) -> None:
        write_atomically(self._folder / REPLIES / f"{name}.json", reply.model_dump_json().encode())


def _read(path: Path) -> Assessment:
    """What a reader sent; DataError if it is no assessment."""
    try:
        if path.stat().st_size > _LONGEST:
            raise DataError(f"it has more than {_LONGEST:,} bytes")
        assessment = Assessment.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise DataError("it is no assessment of this version; page and node must be of one version") from error
    if assessment.id != path.stem:
        raise DataError("it is not named as it says")
    return assessment


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)
