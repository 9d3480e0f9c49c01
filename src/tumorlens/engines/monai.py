"""Weights as a MONAI bundle: a folder that MONAI's own tools read, check and run beside TumorLens."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tumorlens.card import WeightsCard, find_weights, read_card, read_weights
from tumorlens.engines.huggingface import model_card
from tumorlens.errors import ConfigError
from tumorlens.files import writing_folder
from tumorlens.hub import WEIGHTS
from tumorlens.version import __version__

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_MONAI = "1.5.0"  # the oldest that reads it

_INFERENCE: dict[str, Any] = {
    "imports": ["$import torch", "$import tumorlens.model"],
    "bundle_root": ".",
    "scans": "$@bundle_root + '/scans'",
    "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
    "network_def": {"_target_": "tumorlens.model.load", "weights": "$@bundle_root + '/models'"},
    "network": "$@network_def.to(@device)",
    "inferer": {"_target_": "monai.inferers.SimpleInferer"},
    "images": "$@network.prepare(@scans)",
    "probabilities": "$@inferer(@images, @network).softmax(1).tolist()",
    "evaluate": "$[dict(zip(@network.classes, each)) for each in @probabilities]",
    "run": ["$[print(each) for each in @evaluate]"],
}
"""What `python -m monai.bundle run --config_file configs/inference.json --scans FOLDER` does."""


def export_bundle(weights: str | Path, folder: Path) -> Path:
    """Writes the bundle: configs/metadata.json, configs/inference.json, docs/README.md, and weights in models/.

    Args:
        weights: Name of weights in the package, a .safetensors file, or a training run's folder.
        folder: The folder; it is made.

    Raises:
        ModelError: If there are no such weights.
        ChecksumMismatch: If they are not those their card was written for.
        ConfigError: If there is such a folder, or it cannot be written.
    """
    source = find_weights(weights)
    card = read_card(source)
    read_weights(source, card)
    try:
        with writing_folder(folder) as temporary:
            for name in ("configs", "docs", "models"):
                (temporary / name).mkdir()
            target = temporary / "models" / WEIGHTS
            shutil.copyfile(source, target)
            shutil.copyfile(source.with_suffix(".json"), target.with_suffix(".json"))
            for name, content in (("metadata", _metadata(card)), ("inference", _INFERENCE)):
                text = json.dumps(content, indent=4) + "\n"
                (temporary / "configs" / f"{name}.json").write_text(text, encoding="utf-8")
            (temporary / "docs" / "README.md").write_text(model_card(card).split("---\n\n", 1)[1], encoding="utf-8")
    except FileExistsError as error:
        raise ConfigError(f"{folder}: exists already; choose another --output") from error
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written ({error.strerror}); choose another --output") from error
    return folder


def _metadata(card: WeightsCard) -> dict[str, Any]:
    """What MONAI's schema asks for."""
    size, names = card.preprocessing.size, [c.name for c in card.classes]
    shared = {"type": "image", "format": "magnitude", "dtype": "float32", "is_patch_data": False, "value_range": [0, 1]}
    channels = {str(i): "image" for i in range(card.preprocessing.channels)}
    return {
        "schema": _SCHEMA,
        "version": __version__,
        "changelog": {__version__: f"weights {card.name}, sha256 {card.sha256}"},
        "monai_version": _MONAI,
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"tumorlens": __version__},
        "name": card.name,
        "task": f"Classification of {card.modality.name}",
        "description": f"Tells apart {', '.join(names)} in {card.modality.name}. For research only.",
        "authors": "The TumorLens developers",
        "copyright": "Copyright 2026 The TumorLens developers",
        "data_source": card.data,
        "data_type": "any format that TumorLens reads: DICOM, NIfTI, PNG, JPEG, TIFF, BMP",
        "image_classes": f"{card.modality.name}, a {card.modality.word} each",
        "label_classes": "one class a slice",
        "pred_classes": f"calibrated logits of {len(names)} classes: {', '.join(names)}",
        "intended_use": "research; not a medical device, and not for diagnosis",
        "network_data_format": {
            "inputs": {
                "image": {
                    **shared,
                    "modality": card.modality.code,
                    "num_channels": card.preprocessing.channels,
                    "spatial_shape": [size, size],
                    "channel_def": channels,
                }
            },
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "classes",
                    "num_channels": len(names),
                    "spatial_shape": [],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {str(i): name for i, name in enumerate(names)},
                }
            },
        },
    }
