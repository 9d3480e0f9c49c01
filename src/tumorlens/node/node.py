"""The node: listens, analyses, delivers, watches. Each in threads of its own; all that they share is the state."""

from __future__ import annotations

import logging
import signal
import sqlite3
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tumorlens.errors import ConfigError, TumorLensError
from tumorlens.files import lock
from tumorlens.node.config import DicomDestination, Feed, NodeConfig, WebDestination
from tumorlens.node.delivery import Commitments, Courier, Sender
from tumorlens.node.dicomweb import DicomWeb, WebSender
from tumorlens.node.dimse import DicomSender, Retriever
from tumorlens.node.flow import Flow, prepare_analysis
from tumorlens.node.inbox import Inbox
from tumorlens.node.isolation import Prepare
from tumorlens.node.ledger import Ledger
from tumorlens.node.page import Page
from tumorlens.node.receiver import Receiver
from tumorlens.node.retention import forget_old
from tumorlens.node.spool import Spool
from tumorlens.node.watch import OrthancServer, QidoServer, Watcher
from tumorlens.results.handover import HandoverRule, make_secret

_TICK = 0.2  # seconds between two looks at the state
_LOOK = 1.0  # seconds between two looks at whether a signal came
_HOUR = 3600.0
_AFTER_ERROR = 5.0  # seconds
_STATE = "node.sqlite"
_KEYS = "page.secret"

_LOG = logging.getLogger(__name__)


def open_ledger(folder: Path) -> Ledger:
    """The state of a node, whether it runs or not; ConfigError if there is none."""
    if not (folder / _STATE).exists():
        raise ConfigError(f"{folder}: no node has run there yet")
    return Ledger(folder / _STATE)


class Node:
    """A node, by all of node.yaml. Only one may run on a folder.

    `prepare` makes what analyses; without one, it is the weights' own analysis.

    Raises:
        ConfigError: If its folder cannot be used, or another node runs there.
    """

    def __init__(self, config: NodeConfig, prepare: Prepare | None = None) -> None:
        self.config = config
        try:
            config.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._let_go = lock(config.folder / "node.lock")
            self.spool = Spool(config.folder)
            rule = None if config.page is None else HandoverRule(config.folder / _KEYS, config.page.identify)
            if rule is not None:
                make_secret(rule.secret)
        except BlockingIOError as error:
            raise ConfigError(f"{config.folder}: another node runs there") from error
        except OSError as error:
            raise ConfigError(f"{config.folder}: cannot be written ({error.strerror})") from error
        self.ledger = Ledger(config.folder / _STATE)
        self.inbox = Inbox(self.spool, self.ledger)
        self._page = None if config.page is None else Page(config, self.spool, self.ledger)
        commitments = Commitments(self.ledger, config.retries)
        self.receiver = Receiver(config, self.inbox, commitments.report)
        self._flow = Flow(config, self.spool, self.ledger, lambda named: prepare or prepare_analysis(named, rule))
        self._webs: list[DicomWeb] = []
        self._couriers = [
            Courier(d, self._sender(d, commitments), self.spool, self.ledger, config.retries)
            for d in config.destinations
        ]
        self._watchers = [(self._watcher(feed), feed.every) for feed in config.feeds]
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Takes up what the last run left, and begins; ConfigError if the address cannot be listened on."""
        self.spool.tidy()
        strays = self.inbox.take_up_strays()
        unfinished = self.ledger.resume()
        if strays or unfinished:
            _LOG.info("the last run left %d files and %d studies unfinished; they go on", strays, unfinished)
        self.receiver.start()
        self._run("completion", self._flow.open, _TICK)
        self._run("analysis", self._flow.step, _TICK)
        if (days := self.config.keep_days) is not None:
            self._run("retention", partial(forget_old, self.spool, self.ledger, days), _HOUR)
        if self._page is not None:
            self._run("page", self._page.step, _TICK)
        for courier in self._couriers:
            self._run(f"courier {courier.name}", courier.step, _TICK)
        for watcher, every in self._watchers:
            self._run(f"watcher {watcher.name}", watcher.step, every)

    def stop(self) -> None:
        """Ends it. What is being analysed or sent goes on at the next start."""
        self._stop.set()
        self.receiver.stop()
        self._flow.end()
        for thread in self._threads:
            thread.join(30)
        self._flow.close()
        for web in self._webs:
            web.close()
        for watcher, _ in self._watchers:
            watcher.close()
        self.ledger.close()
        self._let_go()
        _LOG.info("ended")

    def run(self) -> None:
        """Starts, and goes on until SIGINT or SIGTERM."""
        warnings.simplefilter("ignore")  # those of the libraries that read files quote them
        ended = threading.Event()

        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, lambda *_: ended.set()) for number in signals}
        try:
            self.start()
            # Not for ever: a signal that reached another thread is handled by this one only once it wakes.
            while not ended.wait(_LOOK):
                pass
        finally:
            self.stop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _run(self, name: str, step: Callable[[], object], every: float) -> None:
        def go() -> None:
            while not self._stop.is_set():
                pause = every
                try:
                    if step() is True:
                        continue  # there may be more
                except InterruptedError:
                    break
                except Exception as error:  # noqa: BLE001 - no thread of the node may end silently
                    pause = max(every, _AFTER_ERROR)
                    # The text of others may quote what was read.
                    ours = isinstance(error, sqlite3.Error | OSError | TumorLensError)
                    _LOG.error("%s: %s; going on in %g s", name, error if ours else type(error).__name__, pause)
                self._stop.wait(pause)

        thread = threading.Thread(target=go, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _sender(self, destination: DicomDestination | WebDestination, commitments: Commitments) -> Sender:
        if isinstance(destination, WebDestination):
            self._webs.append(DicomWeb(destination))
            return WebSender(self._webs[-1])
        return DicomSender(self.config.ae_title, destination, commitments.report)

    def _watcher(self, feed: Feed) -> Watcher:
        server = (QidoServer if feed.kind == "qido" else OrthancServer)(feed, self.ledger)
        return Watcher(feed, server, self.inbox, self.ledger, self.config.retries)


def pull_study(config: NodeConfig, name: str, study: str) -> tuple[int, int]:
    """Has a source send a study: to the node that runs, or, by C-GET, into its folder, where it will notice.

    Returns:
        Number of instances that came, and that failed.

    Raises:
        ConfigError: If there is no such source, or no node has run yet.
        PeerError: If the source does not have the study, refuses, fails, or does not answer.
    """
    source = next((s for s in config.sources if s.name == name), None)
    if source is None:
        names = ", ".join(s.name for s in config.sources) or "none is configured"
        raise ConfigError(f"--from {name}: there is no such source ({names})")
    ledger = open_ledger(config.folder)
    try:
        retriever = Retriever(config.ae_title, source, Inbox(Spool(config.folder), ledger))
        retriever.find(study)
        return retriever.retrieve(study)
    finally:
        ledger.close()
