"""The way of a study: quiet, it waits; it is analysed; its results are sent. Every step is on the disk before the next.

    receiving → waiting → analysing → sending → done
                             └──────────┴→ dead letter

A study that grows after it was analysed is analysed again, whole, as its next revision; earlier results stay.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from pydicom import Dataset

from tumorlens.card import find_weights, read_card
from tumorlens.defaults import DEFAULT_WEIGHTS
from tumorlens.errors import AnalysisFailed, ConfigError, MissingExtra
from tumorlens.listener import Listener
from tumorlens.node.config import NodeConfig
from tumorlens.node.isolation import Analyse, AnalysisProcess, Made, Prepare
from tumorlens.node.ledger import Ledger, Revision, StoredInstance
from tumorlens.node.privacy import short
from tumorlens.node.rules import judge, read_instances
from tumorlens.node.spool import Spool
from tumorlens.results.handover import HandoverRule

_LOG = logging.getLogger(__name__)


class Flow:
    """Moves studies along, by the config's rules and limits.

    `prepare` makes, by the name of weights (None is the package's), what makes the analysis with them. Each of the
    weights that the rules name has a process of its own.
    """

    def __init__(
        self, config: NodeConfig, spool: Spool, ledger: Ledger, prepare: Callable[[str | None], Prepare]
    ) -> None:
        self._config, self._spool, self._ledger = config, spool, ledger
        named = dict.fromkeys(rule.weights or config.weights for rule in config.rules)
        self._processes = {weights: AnalysisProcess(prepare(weights), config.analysis) for weights in named}

    def open(self) -> None:
        """Has studies that are complete wait for their analysis."""
        for opened in self._ledger.open_revisions(self._config.quiet_seconds):
            _LOG.info("study %s is complete (revision %d)", short(opened.study), opened.number)

    def step(self) -> bool:
        """Analyses one study that waits. Gives whether there was one."""
        revision = self._ledger.next_revision()
        if revision is None:
            return False
        try:
            self._analyse(revision)
        except (OSError, sqlite3.Error):  # a full disk, or the node's end: no fault of the study's
            self._ledger.postpone(revision, self._config.retries.first)
            raise
        return True

    def end(self) -> None:
        """Interrupts the study that is analysed; it will wait for the next start."""
        for process in self._processes.values():
            process.end()

    def close(self) -> None:
        """Ends the process that analyses. Call it when no other thread is in `step`."""
        for process in self._processes.values():
            process.close()

    def _analyse(self, revision: Revision) -> None:
        name = short(revision.study)
        if revision.tries >= self._config.analysis.tries:  # each of them ended with the node
            self._fail(revision, "the node ended each time the study was analysed")
            return
        self._ledger.set_revision(revision, "analysing")
        chosen, refused = self._select(revision)
        taken = [instance for instances in chosen.values() for instance in instances]
        digest = digest_of(taken)
        if not taken or self._ledger.analysed_before(revision, digest):
            why = "nothing new in the series that are taken" if taken else f"no series is taken: {refused}"
            _LOG.info("study %s: %s", name, why if taken else "no series is taken")
            self._ledger.add_results(revision, "", [], [], why)
            return
        scratch = self._spool.empty_scratch()
        try:
            made = self._make(chosen, scratch)
        except AnalysisFailed as error:
            self._fail(revision, str(error))
            return
        for place, problem in made.bad.items():
            self._bury(taken[place], problem)
        good = [instance for place, instance in enumerate(taken) if place not in made.bad]
        if not good:
            self._ledger.set_revision(revision, "dead", "none of its instances can be read")
            return
        names = [file for _, _, file in made.results]
        places = self._spool.keep_results(scratch, revision.study, revision.number, names)
        results = [
            (sop, sop_class, self._spool.relative(path))
            for (sop, sop_class, _), path in zip(made.results, places, strict=True)
        ]
        note = f"instances analysed: {len(good)}, results: {len(results)}"
        destinations = [destination.name for destination in self._config.destinations]
        self._ledger.add_results(revision, digest_of(good), results, destinations, note)
        _LOG.info("study %s: %s", name, note)

    def _make(self, chosen: Mapping[str | None, Sequence[StoredInstance]], scratch: Path) -> Made:
        """Results of a study's instances, by the weights that analyse them; places are those in all of them."""
        results: list[tuple[str, str, str]] = []
        bad: dict[int, str] = {}
        before = 0
        for number, (weights, instances) in enumerate(chosen.items(), 1):
            folder = scratch if number == 1 else scratch / f"more-{number}"
            folder.mkdir(exist_ok=True)
            made = self._processes[weights].run([self._spool.absolute(i.file) for i in instances], folder)
            for sop, sop_class, file in made.results:
                name = file if number == 1 else f"{number}-{file}"
                (folder / file).rename(scratch / name)
                results.append((sop, sop_class, name))
            if number > 1:
                shutil.rmtree(folder)  # with what the page would have: it has one answer a study
            bad |= {before + place: problem for place, problem in made.bad.items()}
            before += len(instances)
        return Made(results, bad)

    def _select(self, revision: Revision) -> tuple[dict[str | None, list[StoredInstance]], str]:
        """The instances that the rules take, by the weights that analyse them, and why no others are taken."""
        stored = {str(self._spool.absolute(i.file)): i for i in self._ledger.instances_of(revision)}
        instances, bad = read_instances(stored)
        for path, problem in bad.items():
            self._bury(stored[path], problem)
        verdicts = judge(instances, self._config.rules)
        reasons = dict.fromkeys(reason for verdict in verdicts for reason in verdict.reasons)
        chosen: dict[str | None, list[StoredInstance]] = {weights: [] for weights in self._processes}
        for verdict in verdicts:
            if verdict.taken:
                weights = verdict.weights or self._config.weights
                chosen[weights].extend(stored[i.path] for i in verdict.taken)
        return {weights: taken for weights, taken in chosen.items() if taken}, "; ".join(reasons)

    def _bury(self, instance: StoredInstance, problem: str) -> None:
        self._ledger.bury_instance(instance.sop, problem)
        _LOG.warning("instance %s is a dead letter: %s", short(instance.sop), problem)

    def _fail(self, revision: Revision, reason: str) -> None:
        if revision.tries + 1 >= self._config.analysis.tries:
            self._ledger.set_revision(revision, "dead", reason)
            _LOG.error("study %s is a dead letter: %s", short(revision.study), reason)
        else:
            self._ledger.set_revision(revision, "waiting", reason, wait=self._config.retries.first)
            _LOG.warning("study %s could not be analysed and will be tried again: %s", short(revision.study), reason)


def digest_of(instances: Sequence[StoredInstance]) -> str:
    """SHA-256 of a set of instances, over their UIDs and contents, whatever order they are in."""
    lines = sorted(f"{i.sop} {i.sha256}" for i in instances)
    return hashlib.sha256("\n".join(lines).encode(errors="replace")).hexdigest()


def check_analysis(config: NodeConfig) -> None:
    """Looks whether each rule has weights that know what it takes, and a page what de-identifies for it.

    Raises:
        ModelError: If there are no such weights.
        ConfigError: If a rule takes a modality that its weights do not know.
        MissingExtra: If nothing is installed that de-identifies for the page.
    """
    for rule in config.rules:
        card = read_card(find_weights(rule.weights or config.weights or DEFAULT_WEIGHTS))
        known = card.modality.code
        others = [code for code in rule.modality if known and code != known]
        if others:
            raise ConfigError(
                f"rule {rule.name}: takes {' and '.join(others)}, and the weights {card.name} know {known} only; give "
                "that modality a rule of its own, with weights for it"
            )
    if config.page is not None and find_spec("dicomanonymizer") is None:
        raise MissingExtra("handing studies to the page", "web")


def prepare_analysis(weights: str | None, rule: HandoverRule | None = None) -> Prepare:
    """What makes the analysis that nodes do by default: `results.analysis`, then `results.make`.

    With a rule, the page gets each study too: `results.handover`.
    """
    return partial(_default_analysis, weights, rule)


def _default_analysis(weights: str | None, rule: HandoverRule | None) -> Analyse:
    from tumorlens.classifier import Classifier
    from tumorlens.results.analysis import analyse
    from tumorlens.results.handover import hand_over
    from tumorlens.results.make import make_results

    classifier = Classifier.load(weights or DEFAULT_WEIGHTS)

    def run(paths: Sequence[Path], listener: Listener, folder: Path) -> list[Dataset]:
        analysed = analyse(paths, classifier, listener=listener)
        if rule is not None:
            hand_over(analysed, classifier.card, rule, folder)
        return make_results(analysed, classifier.card)

    return run
