"""What a person at a terminal sees. Progress and messages go to stderr, results to stdout."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tumorlens.cli.progress import Bar, Lines, Steps
from tumorlens.listener import Epoch, Listener
from tumorlens.wording import in_words, ranges, set_in_words

if TYPE_CHECKING:
    from tumorlens.batch import Outcome
    from tumorlens.card import WeightsCard
    from tumorlens.classes import ClassSet
    from tumorlens.evaluation.audit import AuditReport
    from tumorlens.evaluation.comparing.paired import Comparison
    from tumorlens.evaluation.metrics import Estimate, Scores
    from tumorlens.evaluation.studies.measure import StudyScores
    from tumorlens.experiments.crossvalidation import CrossValidation
    from tumorlens.finding import FindingRecord, FindingsDocument
    from tumorlens.study_record import KeySlice, StudyRecord

_SHOWN = 40  # rows of findings that a terminal shows of a larger set


class Console:
    """Tables, messages and progress bars.

    Without messages and progress if `quiet`.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        # A pipe has no width; 80 columns would fold every path in it.
        self.out = RichConsole(highlight=False, width=None if sys.stdout.isatty() else 160)
        self.err = RichConsole(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Prints a message to stderr, unless quiet."""
        if not self.quiet:
            self.err.print(escape(text), soft_wrap=True)

    @contextmanager
    def progress(self, what: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
        """A progress bar; gives what to call with (done, total).

        Where a `unit` is given, the bar shows how many a second; and elsewhere than on a terminal, where a bar would be
        an empty line, a line now and then says it.
        """
        if self.quiet or not self.err.is_terminal:
            yield Lines(what, unit, self.say) if unit else lambda _done, _total: None
            return
        bar = Bar(self.err, what, unit)
        try:
            yield bar
        finally:
            bar.close()

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """What is shown while something runs that counts nothing: a sign of life on a terminal, elsewhere a line."""
        if self.quiet or not self.err.is_terminal:
            self.say(what)
            yield
            return
        with self.err.status(escape(what)):
            yield

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
        """A table on stdout."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in head:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else escape(cell) for cell in row))
        self.out.print(table)

    def findings(self, document: FindingsDocument, card: WeightsCard) -> None:
        """Findings, a row each."""
        several = {f.source for f in document.findings if f.frame}
        rows = []
        for f in document.findings[:_SHOWN]:
            scan = f"{f.source}, slice {f.frame + 1}" if f.source in several else f.source
            words = "; ".join(text for text in (in_words(f.probabilities, card.classes), set_in_words(f, card)) if text)
            finding = Text(words, style="bright_black" if f.unknown else "")
            doubts = "; ".join([f.reason, *f.warnings] if f.unknown else f.warnings)
            rows.append((scan, finding, _region(f, card.classes), doubts))
        if rows:
            self.table(("scan", "finding", "region (x, y)", "against trusting it"), rows)

    def summary(self, outcome: Outcome) -> None:
        """A line that counts a job's findings and failures."""
        names = {c.key: c.name for c in outcome.card.classes}
        tally = outcome.tally
        parts = [f"{number:,} {names[key]}" for key, number in tally.classes.most_common()]
        parts += [f"{n:,} close call{'s' * (n > 1)}"] if (n := tally.close_calls) else []
        parts += [f"{n:,} unknown"] if (n := tally.unknown) else []
        parts += [f"{n:,} file{'s' * (n > 1)} failed"] if (n := outcome.failures) else []
        self.out.print(f"{tally.total:,} scans: {', '.join(parts)}", soft_wrap=True)

    def studies(self, records: Sequence[StudyRecord], total: int) -> None:
        """The findings of studies and volumes, a line each, of `total` in all."""
        rows = []
        for r in records[:_SHOWN]:
            doubtful = Text(r.text, style="bright_black") if r.uncertain else Text(r.text)
            rows.append((r.source, str(r.slices), doubtful, "–" if r.unknown else _ranges(r.key_slices)))
        if rows:
            self.out.print()
            self.table(("study or volume", "slices", "finding", "most suspicious slices"), rows)
        if more := total - len(rows):
            self.say(f"… and {more:,} more; --json or --output gives all")

    def outcome(self, outcome: Outcome, output: str | None, *, as_json: bool = False) -> None:
        """What a job came to: a table or JSON on stdout, failures on stderr."""
        from tumorlens import batch

        if as_json and output is not None:
            for block in batch.read_document(output):
                sys.stdout.write(block)
        elif as_json:
            sys.stdout.write(outcome.document().to_json() + "\n")
        else:
            total = outcome.findings
            if total <= _SHOWN:
                self.findings(outcome.document(), outcome.card)
            self.studies(outcome.kept_studies, outcome.studies)
            if total > 1:
                self.summary(outcome)
            self.say("For research use only: not a diagnosis.")
            if output is not None:
                tables = [*batch.tables(), *([batch.STUDIES] if outcome.studies else [])]
                self.say(f"{', '.join(tables)} and {batch.DOCUMENT} are in {output}")
            elif total > _SHOWN:
                self.say("for a line a scan: --json, or a folder with --output")
        for failure in outcome.kept_failures:
            print(f"error: {failure.source}: {failure.error}", file=sys.stderr)  # noqa: T201
        if more := outcome.failures - len(outcome.kept_failures):
            print(f"error: … and {more} more files; results.csv names them", file=sys.stderr)  # noqa: T201

    def cards(self, cards: Sequence[WeightsCard]) -> None:
        """The weights in the package, a paragraph each."""
        if not cards:
            self.say("there are no weights in the package; make some with: tumorlens train")
        for card in cards:
            self.out.print(f"[bold]{escape(card.name)}[/] ({escape(card.network)}, {card.preprocessing.size} pixels)")
            lines = [
                f"tells apart {', '.join(c.name for c in card.classes)}",
                f"knows {_modality(card)}",
                f"trained on {card.data}",
                f"split: {card.split}",
                *(f"{k}: {_figure(v)}" for k, v in card.scores.items() if isinstance(v, dict)),
                *(f"caution: {c}" for c in card.cautions),
                f"licence {card.licence}, sha256 {card.sha256[:16]}…",
            ]
            for line in lines:
                self.out.print(f"  {escape(line)}", soft_wrap=True)

    def scores(self, scores: Scores, report: Path) -> None:
        """The headline figures, which of them guessing is worth as much as, and where the report is."""
        from tumorlens.evaluation.guessing import guessing_of, no_better

        worth = guessing_of(scores)
        rows = []
        for key, name in _HEADLINES.items():
            estimate: Estimate = getattr(scores, key)
            guesses = key in worth and no_better(estimate, worth[key])
            rows.append((name, _estimate(estimate), f"no better than guessing ({worth[key]:.3f})" if guesses else ""))
        self.table(("figure", "value (95% interval)", ""), rows)
        for note in scores.notes:
            self.out.print(f"note: {note}", markup=False, soft_wrap=True)
        self.say(f"report: {report}")

    def study_scores(self, scores: StudyScores, path: Path) -> None:
        """A row a study, the figures over all slices, and where they are written."""
        rows = [
            [
                row.name,
                "–" if row.probability is None else f"{row.label} {row.probability:.0%}",
                "uncertain" if row.uncertain else "yes" if row.label == row.truth else "no",
                f"{row.missed} of {row.tumour_slices}",
                f"{row.false_alarms} of {row.free_slices}",
                "" if row.pointing is None else f"{row.pointing:.2f}",
            ]
            for row in scores.studies
        ]
        self.table(("study", "finding", "right", "tumour slices missed", "false alarms", "pointing"), rows)
        figures = [
            ("with its neighbours: AUC of slices with tumour against those without", scores.in_context.auc),
            (f"  false alarms on {scores.free_slices} tumour-free slices", scores.in_context.false_alarms),
            (f"  missed of {scores.tumour_slices} slices with tumour", scores.in_context.missed),
            ("each slice alone: AUC", scores.alone.auc),
            ("  false alarms", scores.alone.false_alarms),
            ("  missed", scores.alone.missed),
            ("pointing on slices with tumour", scores.pointing),
            (f"studies named rightly, of {len(scores.studies)}", scores.named_rightly),
            ("studies whose finding is uncertain", scores.uncertain),
        ]
        self.table(
            (f"{scores.weights}, {scores.patients} patients", "value (95% interval by patient)"),
            [(name, _estimate(estimate)) for name, estimate in figures],
        )
        self.say(f"a slice counts as tumour-free from {scores.margin} slices off the tumour; figures: {path}")

    def comparison(self, result: Comparison, page: Path) -> None:
        """Two networks' figures, what differs beyond chance, and where the page is."""
        rows = [
            (
                f"recall, {row.name}" if row.key == "recall" else row.name,
                _estimate(row.first),
                _estimate(row.second),
                _signed(row.difference),
                row.verdict,
            )
            for row in (*result.figures, *result.recalls)
        ]
        self.table(("figure", result.first, result.second, "difference (95% interval)", "the second is"), rows)
        if result.agreement is not None:
            a = result.agreement
            self.say(
                f"{result.n:,} scans: {a.both_right:,} right by both, {a.only_first:,} by the first alone, "
                f"{a.only_second:,} by the second alone, {a.both_wrong_alike + a.both_wrong_differently:,} by neither"
            )
        for note in result.notes:
            self.say(note)
        self.say(f"report: {page}")

    def crossvalidation(self, folds: CrossValidation, folder: Path) -> None:
        """The folds, what they make together, and what the publisher's split adds."""

        def row(name: str, scores: Scores) -> list[str]:
            return [name, str(scores.n), *(_estimate(getattr(scores, key)) for key in _HEADLINES)]

        rows = [row(f"fold {number}", scores) for number, scores in folds.folds.items()]
        rows.append(row("all folds", folds.pooled))
        rows += [row(f"of these, from {source}", scores) for source, scores in folds.sources.items()]
        if folds.publisher is not None:
            rows.append(row("publisher's split", folds.publisher))
            rows.append(["leakage", "", *(f"{folds.leakage[key]:+.3f}" for key in _HEADLINES)])
        self.table(("tested on", "scans", *_HEADLINES.values()), rows)
        self.table(
            ("class", "recall", "precision", "F1"),
            [(c.name, _estimate(c.recall), _estimate(c.precision), _estimate(c.f1)) for c in folds.pooled.classes],
        )
        self.say(f"crossvalidation.json, predictions.csv and a report for each fold are in {folder}")

    def audit(self, report: AuditReport, page: Path) -> None:
        """The headline of an audit, in a few lines."""
        copies = ", ".join(f"{count} {kind}" for kind, count in report.kinds.items())
        rows = [
            ["pictures", f"{report.pictures}, of which {report.distinct} differ"],
            ["duplicate groups", f"{report.groups} ({copies})" if report.groups else "none"],
            ["groups with two labels", str(len(report.contradictions))],
            ["files that could not be read", str(len(report.unreadable))],
        ]
        if report.leak is not None:
            for name, share in {"test": report.leak, **report.leak_by_label}.items():
                rows.append([f"{name} pictures that stand in training", f"{share.found} of {share.pictures}"])
        for shortcut in report.shortcuts:
            figure = f"{shortcut.balanced_accuracy:.0%} balanced accuracy, {shortcut.chance:.0%} is guessing"
            rows.append([f"label told from {shortcut.name}", figure])
        self.table(("what", "found"), rows)
        self.say(f"report: {page}")

    @contextmanager
    def listening(self) -> Iterator[Listener]:
        """What long work tells its progress to, as long as it lasts."""
        steps = Steps(self.err, self.say, quiet=self.quiet)
        try:
            yield Listener(say=steps.say, progress=steps.progress, batch=steps.batch, epoch=self._epoch)
        finally:
            steps.close()

    def _epoch(self, row: Epoch, total: int) -> None:
        left = (total - row.epoch) * row.seconds
        validation = (
            "" if math.isnan(row.val_loss) else f"validation {row.val_loss:.3f}  accuracy {row.val_accuracy:.3f}  "
        )
        self.say(
            f"epoch {row.epoch:3d}/{total}  loss {row.train_loss:.3f}  {validation}"
            f"{row.seconds:5.1f} s  left {int(left // 60)}:{int(left % 60):02d}"
        )


def _region(finding: FindingRecord, classes: ClassSet) -> str:
    """Where the evidence is; with the class it speaks for, where the finding does not say it."""
    if finding.region is None:
        return "–"
    box = "{}, {} – {}, {}".format(*finding.region.box)
    if finding.explained == finding.label and not finding.close_call:
        return box
    names = {c.key: c.name for c in classes}
    return f"region for {names[finding.explained or '']}: {box}"


def _ranges(key_slices: Sequence[KeySlice]) -> str:
    """Slices in few words: of one file by their numbers, of several by the first and the last."""
    if len({k.source for k in key_slices}) > 1:
        first, last = key_slices[0].source, key_slices[-1].source
        return f"{len(key_slices)} of them, {Path(first).name} to {Path(last).name}"
    return ranges(k.frame + 1 for k in key_slices)


_HEADLINES = {"accuracy": "accuracy", "macro_f1": "macro F1", "macro_auc": "macro ROC-AUC"}


def _estimate(estimate: Estimate) -> str:
    return _figure(estimate.model_dump())


def _signed(estimate: Estimate) -> str:
    if estimate.value is None:
        return "–"
    ends = "" if estimate.low is None or estimate.high is None else f" ({estimate.low:+.3f} to {estimate.high:+.3f})"
    return f"{estimate.value:+.3f}{ends}"


def _modality(card: WeightsCard) -> str:
    """What the scans of some weights are, how they become input, and which files hold them."""
    modality, rule = card.modality, card.preprocessing
    windows = ", ".join(f"{centre:g} ± {width / 2:g}" for centre, width in rule.windows)
    seen = f"windows of {windows} HU" if windows else "in colour" if rule.in_colour else "in grey"
    code = f" ({modality.code})" if modality.code else ""
    files = f", from {', '.join(modality.formats)}" if modality.formats else ""
    return f"{modality.name}{code}, a {modality.word} at a time, {seen}{files}"


def _figure(estimate: dict[str, float | None]) -> str:
    value, low, high = (estimate.get(k) for k in ("value", "low", "high"))
    if value is None:
        return "undefined"
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
