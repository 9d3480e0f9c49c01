"""What guessing is worth, so that a figure which is no better can be called so."""

from __future__ import annotations

from collections.abc import Sequence

from tumorlens.evaluation.metrics import Estimate, Scores


def by_guessing(support: Sequence[int]) -> dict[str, float]:
    """What a network has that knows nothing of the scans, by the names that `Scores` has for its figures.

    Of accuracy, the best that one answer for all scans can have: the share of the most frequent class.

    Args:
        support: Scans of each class; one of them at least.
    """
    tested = sum(1 for count in support if count)
    return {
        "accuracy": max(support) / sum(support),
        "balanced_accuracy": 1 / tested,
        "mcc": 0.0,
        "macro_auc": 0.5,
        "auc": 0.5,
    }


def guessing_of(scores: Scores) -> dict[str, float]:
    """The same, for the scans that were scored."""
    return by_guessing([c.support for c in scores.classes])


def no_better(estimate: Estimate, guessing: float) -> bool:
    """Whether guessing is worth as much, or lies in the figure's interval; never of a figure that is undefined."""
    if estimate.value is None:
        return False
    return (estimate.value if estimate.low is None else estimate.low) <= guessing


def guessed(scores: Scores) -> list[str]:
    """Which of the figures over all classes are no better than guessing, in words."""
    names = {
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
        "mcc": "Matthews correlation",
        "macro_auc": "macro AUC",
    }
    worth, found = guessing_of(scores), scores.detection
    words = [name for key, name in names.items() if no_better(getattr(scores, key), worth[key])]
    # Who calls a share of all scans something, whatever they show, has sensitivity and specificity that add up to 1.
    if found and sum(figure.value or 0 for figure in (found.sensitivity, found.specificity)) <= 1:
        words.append("detection, whose sensitivity and specificity add up to 100% or less")
    return words
