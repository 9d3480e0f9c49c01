"""What the slices of a study say together: rules that make one finding of many, on phantom studies.

    python benchmarks/study.py                          # 200 studies to choose on, 200 others to report on
    python benchmarks/study.py --count 8 --slices 12    # a small run

A study is a series of parallel slices over a whole phantom head, in a plane and contrast drawn at random, of a patient
with a lesion or, as often as of each kind of tumour, without; once in few thick slices, once in more, once in many thin
ones. Then studies of several such series, of other planes and contrasts. Prints two tables for the seed that rules are
chosen on, with the numbers of `StudyRule` that keep wrong answers below 5%, and two for the seed that they are reported
on, with how often those numbers answer "uncertain", and how often they are wrong where they do not. Phantoms are no
patients: the tables compare rules with each other and say nothing of how well a study of a hospital is read.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tumorlens.card import StudyRule
from tumorlens.classes import BRAIN_TUMORS
from tumorlens.classifier import Classifier
from tumorlens.evaluation.intervals import estimate_means
from tumorlens.evaluation.metrics import Estimate
from tumorlens.phantoms.phantom import PLANES, Phantom, make_study
from tumorlens.phantoms.tissue import CONTRASTS
from tumorlens.place import SlicePlace
from tumorlens.study import SliceFinding, StudyFinding, find_in_study

NOTHING = BRAIN_TUMORS.keys.index(next(c.key for c in BRAIN_TUMORS if c.nothing))
NO_ANSWER = -1  # every slice is unknown
Probabilities = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Study:
    """What was said of a study's slices.

    Attributes:
        truth: Index of its class.
        p: (slices, classes) probabilities of the slices that are like the training's; all if none is.
        step: Distance between slices, mm.
        finding: What `find_in_study` makes of it.
    """

    truth: int
    p: Probabilities
    step: float
    finding: StudyFinding

    @property
    def shipped(self) -> int:
        """Index of the finding's class; `NO_ANSWER` without one."""
        return BRAIN_TUMORS.keys.index(self.finding.label) if self.finding.label else NO_ANSWER


def draw(count: int, slices: int, seed: int, classifier: Classifier) -> list[Study]:
    """Draws studies, and has their slices classified."""
    keys = classifier.card.classes.keys
    studies = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        label = BRAIN_TUMORS.keys[number % len(BRAIN_TUMORS)]
        plane = str(rng.choice(PLANES, p=[0.46, 0.27, 0.27]))
        contrast = str(rng.choice(CONTRASTS, p=[0.1, 0.7, 0.1, 0.1]))
        phantoms = make_study(number, label=label, plane=plane, contrast=contrast, slices=slices, seed=seed)
        found = classify(phantoms, "one", classifier)
        finding = find_in_study(found, classifier.card.classes)
        studies.append(Study(keys.index(label), table_of(found, keys), distance(phantoms), finding))
    return studies


def classify(phantoms: Sequence[Phantom], series: str, classifier: Classifier) -> list[SliceFinding]:
    """The findings of a series of slices."""
    findings = classifier.find([p.scan for p in phantoms], explain=False)
    places = [SlicePlace.of(p.scan).model_copy(update={"series": series}) for p in phantoms]
    return [SliceFinding(*each) for each in zip(findings, places, strict=True)]


def table_of(slices: Sequence[SliceFinding], keys: Sequence[str]) -> Probabilities:
    """Probabilities of the slices that are like the training's; zeros if none is."""
    p = np.array([[s.finding.probabilities.get(key, 0.0) for key in keys] for s in slices])
    known = np.array([not s.finding.unknown for s in slices])
    return p[known] if known.any() else p


def distance(phantoms: Sequence[Phantom]) -> float:
    """Between slices, mm."""
    return phantoms[1].position - phantoms[0].position


Rule = Callable[[Study], int]


def best_row(p: Probabilities, width: int) -> Probabilities:
    """The mean of the `width` slices in a row that together most probably show something."""
    rows = [p[i : i + width].mean(0) for i in range(max(1, len(p) - width + 1))]
    return max(rows, key=lambda row: 1 - row[NOTHING])


def in_a_row(width: int, least: float | None = None) -> Rule:
    """The best row's class.

    Args:
        width: Slices in a row.
        least: Probability of showing something from which a study does; None lets the most probable class decide.
    """

    def rule(study: Study) -> int:
        row = best_row(study.p, width)
        return int(row.argmax()) if least is None or 1 - row[NOTHING] >= least else NOTHING

    return rule


def over(extent: float) -> Rule:
    """The class of the best row that covers about so many mm."""
    return lambda study: int(best_row(study.p, max(2, round(extent / study.step))).argmax())


def most_frequent_tumour(study: Study) -> int:
    """The tumour that most slices show, if a quarter of them show one."""
    counts = np.bincount(study.p.argmax(1), minlength=study.p.shape[1])
    counts[NOTHING] = 0
    return int(counts.argmax()) if counts.sum() >= len(study.p) / 4 else NOTHING


RULES: dict[str, Rule] = {
    "mean of all slices": lambda study: int(study.p.mean(0).argmax()),
    "most frequent class": lambda study: int(np.bincount(study.p.argmax(1)).argmax()),
    "most frequent tumour, if 1 slice in 4 shows one": most_frequent_tumour,
    "the slice that most probably shows something": in_a_row(1),
    **{f"the best {k} slices in a row": in_a_row(k) for k in (3, 4, 5, 7)},
    **{f"the best 3 in a row, a tumour from {least:.0%}": in_a_row(3, least) for least in (0.9, 0.95)},
    **{f"the best {extent} mm in a row": over(extent) for extent in (12, 18, 24, 27, 30, 33, 36, 42, 48)},
    "**as shipped**": lambda study: study.shipped,
}


def draw_series(count: int, series: int, seed: int, classifier: Classifier) -> list[list[Study]]:
    """Draws studies of several series of 24 slices, the first of them T1 after contrast agent; one list a study.

    What is shipped is said of each series together with those before it.
    """
    keys = classifier.card.classes.keys
    studies = []
    for number in range(count):
        rng = np.random.default_rng([seed, number, 7])
        label = BRAIN_TUMORS.keys[number % len(BRAIN_TUMORS)]
        slices: list[SliceFinding] = []
        parts = []
        for place in range(series):
            plane = str(rng.choice(PLANES, p=[0.46, 0.27, 0.27]))
            contrast = str(rng.choice(CONTRASTS)) if place else "t1c"
            phantoms = make_study(number, label=label, plane=plane, contrast=contrast, slices=24, seed=seed)
            new = classify(phantoms, str(place), classifier)
            slices = [*slices, *new]
            finding = find_in_study(slices, classifier.card.classes)
            parts.append(Study(keys.index(label), table_of(new, keys), distance(phantoms), finding))
        studies.append(parts)
    return studies


def something(row: Probabilities) -> float:
    """How probable it is that a row shows anything."""
    return 1 - float(row[NOTHING])


SERIES_RULES: dict[str, Callable[[list[Probabilities]], Probabilities]] = {
    "the most suspicious series": lambda rows: max(rows, key=something),
    "the middle series": lambda rows: sorted(rows, key=something)[len(rows) // 2],
    "mean over the series": lambda rows: np.mean(rows, axis=0),
    "T1 post-contrast": lambda rows: rows[0],
}


def series_table(studies: list[list[Study]]) -> str:
    """As `table`, of rules that make one finding of the best rows of several series."""
    numbers, truths = range(1, len(studies[0]) + 1), [parts[0].truth for parts in studies]
    lines = [f"| rule |{''.join(f' {n} series |' for n in numbers)}", "| --- |" + " --- |" * len(numbers)]
    for name, rule in SERIES_RULES.items():
        cells = []
        for n in numbers:
            rows = [[best_row(s.p, max(2, round(StudyRule().extent / s.step))) for s in parts[:n]] for parts in studies]
            cells.append(measure(truths, [int(rule(r).argmax()) for r in rows]))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    shipped = [measure(truths, [parts[n - 1].shipped for parts in studies]) for n in numbers]
    return "\n".join([*lines, "| **as shipped** | " + " | ".join(shipped) + " |"])


GRID = np.linspace(0, 1, 101)


def fit_rule(studies: Sequence[Study], wrong: float = 0.05) -> StudyRule:
    """The numbers that leave as few studies uncertain as they can, with so many wrong answers at most of each kind."""
    answered = [s for s in studies if s.finding.label]
    tumour = np.array([something_in(s.finding) for s in answered])
    named = np.array([s.finding.confidence or 0.0 for s in answered])
    bears, right = (
        np.array([f(s) for s in answered]) for f in (lambda s: s.truth != NOTHING, lambda s: s.shipped == s.truth)
    )

    def share(of: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
        return float(of[among].mean()) if among.any() else 0.0

    absent = max((t for t in GRID if share(bears, tumour <= t) <= wrong), default=0.0)
    present = min((t for t in GRID if share(~bears, tumour >= t) <= wrong), default=1.0)
    there = tumour >= present
    name = min((t for t in GRID if share(~right, there & (named >= t)) <= wrong), default=1.0)
    numbers = {"absent_below": min(absent, present), "present_above": present, "named_above": name}
    return StudyRule(**{key: round(float(value), 2) for key, value in numbers.items()}, studies=len(answered))


def something_in(finding: StudyFinding) -> float:
    """A study's probability of any tumour."""
    return sum(p for key, p in finding.probabilities.items() if BRAIN_TUMORS.keys.index(key) != NOTHING)


def judge_rule(studies: Sequence[Study], rule: StudyRule) -> str:
    """How often a rule's answer is "uncertain", and how often it is wrong where it is not."""
    findings = [find_in_study(s.finding.slices, BRAIN_TUMORS, rule) for s in studies]
    sure = [(f.label, BRAIN_TUMORS.keys[s.truth]) for f, s in zip(findings, studies, strict=True) if not f.uncertain]
    missed = sum(said != truth for said, truth in sure)
    numbers = rule.model_dump(include={"absent_below", "present_above", "named_above"})
    return f"{numbers}: {len(studies) - len(sure)} of {len(studies)} uncertain, {missed} of the other {len(sure)} wrong"


def table(drawn: dict[int, list[Study]]) -> str:
    """A line for each rule, in Markdown; for each number of slices its accuracy, sensitivity and specificity."""
    steps = {count: np.mean([s.step for s in studies]) for count, studies in drawn.items()}
    head = "".join(f" {count} slices, {step:.0f} mm apart |" for count, step in steps.items())
    lines = [f"| rule |{head}", "| --- |" + " --- |" * len(drawn)]
    lines += [
        f"| {name} | "
        + " | ".join(measure([s.truth for s in studies], [rule(s) for s in studies]) for studies in drawn.values())
        + " |"
        for name, rule in RULES.items()
    ]
    return "\n".join(lines)


def measure(truths: list[int], told: list[int]) -> str:
    """A rule's accuracy with its interval, then its sensitivity to and specificity for any tumour."""
    truth, said = np.array(truths), np.array(told)
    tumour = truth != NOTHING
    values = np.column_stack(
        [
            said == truth,
            np.where(tumour, said != NOTHING, np.nan),
            np.where(tumour, np.nan, said == NOTHING),
        ]
    ).astype(float)
    # A patient a study, so each is a group of its own.
    accuracy, sensitivity, specificity = estimate_means(values, [str(i) for i in range(len(truth))])
    return f"{in_words(accuracy)}, {sensitivity.value:.0%} / {specificity.value:.0%}"


def in_words(estimate: Estimate) -> str:
    """A share in percent, with its 95% interval."""
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.0%}"
    return f"{estimate.value:.0%} ({estimate.low:.0%}–{estimate.high:.0%})"


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="cnn_lstm")
    parser.add_argument("--count", type=int, default=200, help="studies of each seed and number of slices")
    parser.add_argument("--slices", type=int, nargs="+", default=(16, 24, 72), help="slices of a study")
    parser.add_argument("--series", type=int, default=4, help="series of a study, in the second table")
    parser.add_argument("--seeds", type=int, nargs=2, default=(101, 102), help="to choose on, and to report on")
    options = parser.parse_args()
    classifier = Classifier.load(options.weights, threads=1)
    fitted = None
    for what, seed in zip(("chosen on", "reported on"), options.seeds, strict=True):
        drawn = {slices: draw(options.count, slices, seed, classifier) for slices in options.slices}
        print(f"{what} seed {seed}: {options.count} studies, weights {options.weights}")
        print("accuracy (95% interval), sensitivity / specificity; one series a study\n")
        print(table(drawn) + "\n", flush=True)
        every = [study for studies in drawn.values() for study in studies]
        fitted = fitted or fit_rule(every)
        for rule in (StudyRule(), fitted):
            print(judge_rule(every, rule), flush=True)
        several = draw_series(options.count, options.series, seed, classifier)
        print(f"several series a study, {what} seed {seed}\n")
        print(series_table(several) + "\n", flush=True)


if __name__ == "__main__":
    main()
