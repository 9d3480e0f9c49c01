"""The report of a validation: one page, and the same in forms that journals and regulators ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from tumorlens.evaluation.guessing import guessing_of, no_better
from tumorlens.evaluation.metrics import Estimate
from tumorlens.evaluation.pages.gallery import GalleryCase, gallery_cards
from tumorlens.evaluation.pages.page import decimal, interval, load_template, per_cent
from tumorlens.evaluation.pages.plots import evaluation_figures, save_figures
from tumorlens.evaluation.predictions import Predictions
from tumorlens.evaluation.site.checklists import FORMS, fill_form
from tumorlens.evaluation.site.figures import FACT_NAMES, NOT_GIVEN, Subgroup
from tumorlens.evaluation.site.validation import Validation
from tumorlens.explain.cam import METHODS
from tumorlens.files import write_atomically
from tumorlens.scan import FACTS

_FILES = {"claim_2024": "claim.md", "tripod_ai": "tripod_ai.md", "model_card": "model_card.md"}
_LIBRARIES = ("torch", "numpy", "scipy", "scikit-learn", "pydicom", "pillow")
_KINDS = {
    "missed": ("Missed", "A tumour, and the network found none."),
    "mixed up": ("Mixed up", "One class taken for another."),
    "false alarms": ("False alarms", "No tumour, and the network named one."),
}


def write_validation(
    folder: Path,
    validation: Validation,
    predictions: Predictions,
    gallery: Mapping[str, Sequence[GalleryCase]],
) -> Path:
    """Writes predictions.csv, plots, the three forms, validation.json and, last, validation.html.

    `predictions` are under case numbers; `gallery` has wrong cases by kind, as `choose_failures` names them.

    Raises:
        MissingExtra: If Jinja2 or scikit-learn is not installed.
        OSError: If a file cannot be written.
    """
    # What is not installed is missed before anything is removed.
    template = load_template(Path(__file__).with_name("validation.html.j2"))
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    for name in ("validation.html", "validation.json"):
        (folder / name).unlink(missing_ok=True)
    predictions.write_csv(folder / "predictions.csv")
    figures = save_figures(folder / "plots", evaluation_figures(validation.scores, predictions))
    facts = describe(validation)
    forms = {name: fill_form(name, facts) for name in FORMS}
    for name, form in forms.items():
        write_atomically(folder / _FILES[name], form.markdown().encode("utf-8", "backslashreplace"))
    failures: list[dict[str, Any]] = [
        {"title": title, "about": about, "cards": gallery_cards(gallery.get(kind, ()), predictions)["wrong"]}
        for kind, (title, about) in _KINDS.items()
    ]
    page = template.render(
        v=validation,
        scores=validation.scores,
        figures=figures,
        facts=facts,
        forms=forms,
        files=_FILES,
        failures=failures,
        fact_names=FACT_NAMES,
        subgroups=by_fact(validation.subgroups),
        failed=failed(validation),
        kept=[c for c in validation.comparisons if c.verdict != "below"],
        guessing=guessing_of(validation.scores),
        wrong=int((predictions.predicted != predictions.truth).sum()),
    )
    write_atomically(folder / "validation.json", validation.model_dump_json(indent=1).encode() + b"\n")
    report = folder / "validation.html"
    write_atomically(report, page.encode("utf-8", "backslashreplace"))
    return report


def failed(validation: Validation) -> list[tuple[str, str]]:
    """The figures that fail, as a mark and words: below the weights card's, then no better than guessing."""
    scores, worth = validation.scores, guessing_of(validation.scores)
    below = [("below", c.words) for c in validation.comparisons if c.verdict == "below"]
    guesses = [
        ("guesses", f"{name}: {form(figure)}, which is no better than guessing ({form(Estimate(value=worth[key]))}).")
        for key, name, form in (("accuracy", "Accuracy", _share), ("macro_auc", "Macro AUC", _decimal))
        if no_better(figure := getattr(scores, key), worth[key])
    ]
    return below + guesses


def by_fact(subgroups: Sequence[Subgroup]) -> dict[str, list[Subgroup]]:
    """The subgroups of each fact."""
    return {fact: group for fact in FACT_NAMES if (group := [s for s in subgroups if s.fact == fact])}


def describe(validation: Validation) -> dict[str, str]:
    """What the software knows of a validation, in words, by the names that the forms use."""
    scores, card, training = validation.scores, validation.card, validation.card.training
    settings = training.get("settings") or {}
    rule, groups = card.preprocessing, by_fact(validation.subgroups)
    side = f"{rule.size} × {rule.size}"
    channels = "grey" if rule.channels == 1 else "colour"
    method = card.heat_map.method if card.heat_map else "gradcam"
    stretched = f", stretched between percentiles {rule.percentiles}" if rule.intensity == "stretch" else ""
    return {
        "site": validation.site,
        "date": validation.date,
        "version": validation.version,
        "command": validation.command,
        "weights": card.name,
        "sha256": card.sha256,
        "licence": f"licence {card.licence}",
        "network": card.network,
        "parameters": f"{n:,} parameters"
        if (n := training.get("parameters"))
        else "parameters not counted in the card",
        "classes": ", ".join(c.name for c in card.classes),
        "input": f"One slice, {channels}, scaled to {side} keeping proportions, values 0 to 1{stretched}.",
        "input_shape": f"{rule.channels} × {side}",
        "training_data": card.data or "not in the card",
        "training_split": card.split or "split not in the card",
        "training_seed": str(settings.get("seed", "not in the card")),
        "best_epoch": f"epoch {training['best_epoch']}" if training.get("best_epoch") else "not in the card",
        "training": ", ".join(f"{k} {v}" for k, v in {**training, **settings}.items() if _plain(v))
        or "not in the card",
        "class_weights": "classes weighted by their rarity"
        if settings.get("class_weights")
        else "no class weights named",
        "calibration_rule": "Uncalibrated probabilities"
        if card.temperature == 1 and not card.bias
        else f"Probabilities calibrated by temperature {card.temperature:g}{', with biases' * bool(card.bias)}",
        "grouped_by": validation.grouped_by,
        "analysed": f"{scores.n:,} slices of {_groups(scores.groups, validation.grouped_by)}",
        "classes_counted": ", ".join(f"{n:,} {name}" for name, (n, _) in validation.counts.items()),
        "flow": ". ".join(_step(s) for s in validation.flow),
        "unreadable": f"{len(validation.unreadable)} files" if validation.unreadable else "none",
        "accuracy": f"accuracy {_share(scores.accuracy)}",
        "macro_f1": f"macro F1 {_share(scores.macro_f1)}",
        "macro_auc": f"macro AUC {_decimal(scores.macro_auc)}",
        "ece": per_cent(scores.ece),
        "brier": f"Brier score {_decimal(scores.brier)}",
        "per_class": "; ".join(
            f"{c.name}: sensitivity {_share(c.recall)}, specificity {_share(c.specificity)}" for c in scores.classes
        ),
        "detection": _detection(validation),
        "calibration": "calibration slopes "
        + ", ".join(f"{line.name} {_decimal(line.slope)}" for line in validation.calibration),
        "intervals": f"95% intervals: percentiles of {scores.resamples:,} bootstrap samples of whole groups "
        f"({validation.grouped_by}), seed {scores.seed}; Wilson's over groups where nothing was wrong",
        "subgroup_facts": ", ".join(FACT_NAMES[f] for f in groups) or "no fact: the files give none",
        "subgroup_warnings": _warnings(validation.subgroups),
        "missing_facts": _missing(groups, scores.n),
        "demographics": "; ".join(_distribution(f, groups[f]) for f in FACTS if f in groups) or "not in the files",
        "scanners": _distribution("", groups.get("scanner", [])) or "not in the files",
        "field_strengths": _distribution("", groups.get("field_strength", [])) or "not in the files",
        "promise": " ".join(c.words for c in validation.comparisons) or "The card promises no figures.",
        "promised": "; ".join(f"{c.name} {_share(c.promised)}" for c in validation.comparisons) or "none",
        "failures": _failures(validation),
        "doubts": _doubts(validation),
        "cautions": " ".join([*validation.cautions, *scores.notes]),
        "heat_map": f"{METHODS[method].meaning}, for the predicted class, divided by its peak; "
        "it is no outline of a tumour.",
        "software": ", ".join([f"TumorLens {validation.version}", *_versions()]),
    }


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _share(estimate: Estimate, form: Callable[[float | None], str] = per_cent) -> str:
    ends = interval(estimate, form)
    return form(estimate.value) + (f" ({ends})" if ends else "")


def _decimal(estimate: Estimate) -> str:
    return _share(estimate, decimal)


def _groups(count: int, unit: str) -> str:
    word = "patient" if "patient" in unit else "group"
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def _step(step: Any) -> str:
    out = "; ".join(f"{reason} ({n:,})" for reason, n in step.excluded.items())
    return f"{step.count:,} {step.unit} {step.name}" + (f", leaving out: {out}" if out else "")


def _detection(validation: Validation) -> str:
    detection = validation.scores.detection
    if detection is None:
        return "no class means nothing"
    return (
        f"tumour against none: sensitivity {_share(detection.sensitivity)}, specificity {_share(detection.specificity)}"
    )


def _failures(validation: Validation) -> str:
    scores = validation.scores
    wrong = scores.n - sum(scores.confusion[i][i] for i in range(len(scores.confusion)))
    text = f"{wrong:,} of {scores.n:,} slices were wrong"
    if detection := scores.detection:
        text += f"; tumours missed: {detection.missed:,}, false alarms: {detection.false_alarms:,}"
    return text


def _doubts(validation: Validation) -> str:
    doubts = []
    if validation.coverage is not None and validation.set_size is not None:
        doubts.append(
            f"{_share(validation.coverage)} of the prediction sets hold the true class; "
            f"a set holds {validation.set_size.value:.2f} classes in the mean"
        )
    if validation.unknown is not None:
        doubts.append(
            f"the network's gate calls {validation.unknown:,} of {validation.scores.n:,} slices unlike its training "
            "scans; they are analysed all the same"
        )
    return "; ".join(doubts) or "the weights have neither prediction sets nor a gate for unknown scans"


def _warnings(subgroups: Sequence[Subgroup]) -> str:
    if not subgroups:
        return "There are no subgroups."
    warned = "; ".join(f"{FACT_NAMES[s.fact]} {s.value}: {s.warning}" for s in subgroups if s.warning)
    return f"{warned}." if warned else "No subgroup stands out."


def _missing(groups: Mapping[str, Sequence[Subgroup]], n: int) -> str:
    gaps = []
    for fact in FACTS:
        lacking = sum(s.n for s in groups.get(fact, ()) if s.value == NOT_GIVEN) if fact in groups else n
        if lacking:
            gaps.append(f"{FACT_NAMES[fact]} for {lacking:,} of {n:,}")
    return ", ".join(gaps) or "none"


def _distribution(fact: str, groups: Sequence[Subgroup]) -> str:
    values = ", ".join(f"{s.value} ({s.n:,})" for s in groups)
    return f"{FACT_NAMES[fact]}: {values}" if fact and values else values


def _versions() -> Iterator[str]:
    for name in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):  # built from source under another name
            yield f"{name} {metadata.version(name)}"
