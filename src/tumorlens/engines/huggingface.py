"""Weights as a folder of the Hugging Face hub: plain files, and a model card in its format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from tumorlens.card import WeightsCard, find_weights, read_card, read_checked, read_weights
from tumorlens.engines.graph import graph_beside
from tumorlens.errors import ConfigError
from tumorlens.files import writing_folder
from tumorlens.hub import WEIGHTS
from tumorlens.version import __version__

_METRICS = {"accuracy": "accuracy", "macro_f1": "f1", "macro_auc": "roc_auc"}  # as the hub calls them
_CAUTIONS = (
    "It says nothing of other diseases, sequences, scanners or hospitals than those that it was trained on.",
    "A heat map shows where the network found evidence. It is no outline of a tumour.",
)
_NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "macro_auc": "macro ROC-AUC"}


def export_hub_folder(weights: str | Path, folder: Path) -> Path:
    """Writes the folder: weights, card, graph where there is one, config.json, and README.md, the model card.

    `Classifier.load(folder)` loads it; `hf upload OWNER/NAME FOLDER` puts it onto the hub, and hf://OWNER/NAME gets it
    from there.

    Args:
        weights: Name of weights in the package, a .safetensors file, or a training run's folder.
        folder: The folder; it is made.

    Raises:
        ModelError: If there are no such weights.
        ChecksumMismatch: If weights or graph are not those their card was written for.
        ConfigError: If there is such a folder, or it cannot be written.
    """
    source = find_weights(weights)
    card = read_card(source)
    read_weights(source, card)
    graph = graph_beside(source, card)
    if graph is not None:
        read_checked(graph, card.graph_sha256, "is damaged or not the graph its card names; write it anew")
    try:
        with writing_folder(folder) as temporary:
            target = temporary / WEIGHTS
            shutil.copyfile(source, target)
            shutil.copyfile(source.with_suffix(".json"), target.with_suffix(".json"))
            if graph is not None:
                shutil.copyfile(graph, target.with_suffix(".onnx"))
            config = json.dumps(_config(card), indent=2) + "\n"
            (temporary / "config.json").write_text(config, encoding="utf-8")
            (temporary / "README.md").write_text(model_card(card), encoding="utf-8")
    except FileExistsError as error:
        raise ConfigError(f"{folder}: exists already; choose another --output") from error
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); choose another --output") from error
    return folder


def model_card(card: WeightsCard) -> str:
    """The model card in the hub's format: YAML that its search reads, then what people read."""
    head = yaml.safe_dump(_metadata(card), sort_keys=False, allow_unicode=True, width=10_000)
    side = card.preprocessing.size
    classes = "\n".join(f"- `{c.key}`: {c.name}" for c in card.classes)
    figures = [
        f"| {_NAMES[key]} | {_figure(card.scores[key])} |" for key in _NAMES if _value(card.scores.get(key)) is not None
    ]
    table = (
        "\n".join(["| figure | value (95% interval) |", "| --- | --- |", *figures])
        if figures
        else "None are in the card."
    )
    cautions = "\n".join(f"- {text}" for text in (*card.cautions, *_CAUTIONS))
    return f"""---
{head}---

# {card.name}

Tells apart, in {card.modality.name}, a {card.modality.word} of {side} x {side} pixels at a time:

{classes}

It comes with calibrated probabilities, heat maps, and a gate that calls scans unlike those of the training unknown.
**For research only. It is not a medical device, and nothing it says is a diagnosis.**

## Use

```python
from tumorlens import Classifier

(finding,) = Classifier.load("hf://OWNER/NAME").find("scan.dcm")  # or the folder that this file lies in
print(finding, finding.probabilities, finding.region, finding.warnings)
```

As a plain PyTorch module: `tumorlens.model.load("hf://OWNER/NAME")`. `model.onnx`, where it is here, gives
probabilities and heat maps in any ONNX runtime; its input is described in its metadata. `model.json` is the weights'
own card, with everything.

## Training

Trained on {card.data or "data that the card does not name"}. Split: {card.split or "unknown"}.{_began(card)}

## Figures

On its own test part ({card.scores.get("n", "an unknown number of")} scans):

{table}

## Limits

{cautions}
"""


def _metadata(card: WeightsCard) -> dict[str, Any]:
    """The YAML at the top of the model card."""
    head: dict[str, Any] = {
        "license": card.licence.lower(),
        "library_name": "tumorlens",
        "pipeline_tag": "image-classification",
        "tags": ["medical", *([card.modality.code.lower()] if card.modality.code else []), "explainable-ai", "onnx"],
    }
    metrics = [
        {"type": kind, "name": _NAMES[key], "value": round(value, 4)}
        for key, kind in _METRICS.items()
        if (value := _value(card.scores.get(key))) is not None
    ]
    if metrics:
        dataset = {"type": "own", "name": f"its own test part, split {card.split or 'unknown'}"}
        task = {"type": "image-classification"}
        head["model-index"] = [{"name": card.name, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}]
    return head


def _config(card: WeightsCard) -> dict[str, Any]:
    """What programs that know nothing of TumorLens look for."""
    names = {i: c.key for i, c in enumerate(card.classes)}
    return {
        "model_type": "tumorlens",
        "architectures": [card.network],
        "image_size": card.preprocessing.size,
        "num_channels": card.preprocessing.channels,
        "id2label": {str(i): key for i, key in names.items()},
        "label2id": {key: i for i, key in names.items()},
        "tumorlens_version": __version__,
    }


def _began(card: WeightsCard) -> str:
    return f" It began with {card.pretrained}." if card.pretrained else ""


def _value(figure: Any) -> float | None:
    return figure.get("value") if isinstance(figure, dict) else None


def _figure(figure: dict[str, float | None]) -> str:
    value, low, high = (figure.get(key) for key in ("value", "low", "high"))
    return f"{value:.3f}" if low is None or high is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
