"""The weights card: what one must know to use weights, and to judge them. It loads no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from tumorlens import hub
from tumorlens.classes import ClassSet
from tumorlens.errors import ChecksumMismatch, ModelError
from tumorlens.files import write_atomically
from tumorlens.modality import Modality, as_modality, find_modality
from tumorlens.preprocess import Preprocessing
from tumorlens.strangeness import Kind

SHIPPED = Path(__file__).parent / "model" / "weights"


class Calibration(BaseModel, frozen=True):
    """What was fitted on scans that trained nothing, beside the temperature.

    Attributes:
        scans: Scans of each class it was fitted on, by key.
        fitted_on: Which those were: the "validation" part, or "out-of-fold" scans, each predicted by a network of the
            same recipe that was trained without it.
        coverage: Share of the scans of each class, if they are like these, whose prediction set holds the class.
        set_thresholds: Least probability that takes a class into the prediction set, by key.
        accepted: Share of such scans that the gate for unknown scans accepts; the gate's tensors lie with the weights,
            their names beginning with "unknown.".
        kinds: What the gate recognises by name.
    """

    scans: dict[str, int]
    fitted_on: Literal["validation", "out-of-fold"] = "validation"
    coverage: float = Field(gt=0, lt=1)
    set_thresholds: dict[str, float]
    accepted: float = Field(gt=0, le=1)
    kinds: tuple[Kind, ...] = ()


class HeatMapRule(BaseModel, frozen=True):
    """Which heat map findings carry, and where its region ends.

    Attributes:
        method: Key of the way it is made, as in `tumorlens.explain.cam.METHODS`.
        threshold: Share of the peak that bounds the region and marks a pixel.
        scans: Scans with an outline that the threshold was chosen on, for the highest Dice; 0 where it is a convention.
    """

    method: str
    threshold: float = Field(0.5, gt=0, lt=1)
    scans: int = Field(0, ge=0)


class StudyRule(BaseModel, frozen=True):
    """How the slices of a study become one answer. benchmarks/study.py compares it with other rules.

    Attributes:
        extent: Millimetres of neighbouring slices that decide together: a tumour is seen in neighbours, a slip of the
            network in fewer.
        neighbours: How many decide together where nobody knows how far apart they are.
        absent_below: Probability of any tumour up to which a study shows none.
        present_above: The same from which it shows one.
        named_above: Probability of its most probable class from which a tumour is named. Between these three, the
            answer is "uncertain".
        studies: Studies that the numbers were fitted on; 0 where they are a convention.
    """

    extent: float = Field(30.0, gt=0)
    neighbours: int = Field(4, ge=1)
    absent_below: float = Field(0.4, ge=0, le=1)
    present_above: float = Field(0.6, ge=0, le=1)
    named_above: float = Field(0.5, ge=0, le=1)
    studies: int = Field(0, ge=0)

    def length(self, spacing: float | None) -> int:
        """How many neighbouring slices decide together.

        `spacing` is their mean distance in mm, where known.
        """
        return self.neighbours if spacing is None else max(2, round(self.extent / spacing))


class WeightsCard(BaseModel, frozen=True):
    """What one must know to use weights, and to judge them.

    Attributes:
        name: How tables and JSON call the weights.
        network: Name of the network, as `build_network` knows it.
        options: The network's own settings.
        preprocessing: The rule that makes its input.
        half: Whether the weights are stored in half precision: half the size, computed with in single precision.
        pretrained: What the training began with, and its licence; empty where it began with random numbers.
        mirrored: Whether answers are the mean over a scan and its mirror image.
        modality: What its scans are; a scan of another modality is unknown.
        classes: What its outputs mean, in order.
        temperature: Divides the logits before the softmax; 1 where none was fitted.
        bias: Added to the logits before that, by class key; empty where none was fitted.
        calibration: Set thresholds and gate; None where none were fitted.
        heat_map: Which heat map findings carry; None, in old cards, is Grad-CAM at half its peak.
        study: How the slices of a study become one answer; None takes the defaults.
        data: What it was trained on, in words.
        split: How training, validation and test were divided, in words.
        cautions: What speaks against trusting it, one sentence each.
        scores: Measured figures on the test part, each with its 95% interval.
        training: Settings and facts of the run.
        version: Of the package that made them.
        sha256: Of the weights file.
        graph_sha256: Of the graph beside it that `tumorlens export` made of these weights; empty where there is none.
    """

    schema_version: Literal[1] = 1
    name: str
    network: str
    options: dict[str, Any] = {}
    preprocessing: Preprocessing
    half: bool = False
    pretrained: str = ""
    mirrored: bool = False
    modality: Annotated[Modality, BeforeValidator(as_modality)] = find_modality("MR")
    classes: ClassSet
    temperature: float = Field(1.0, gt=0)
    bias: dict[str, float] = {}
    calibration: Calibration | None = None
    heat_map: HeatMapRule | None = None
    study: StudyRule | None = None
    data: str = ""
    split: str = ""
    cautions: tuple[str, ...] = ()
    scores: dict[str, Any] = {}
    training: dict[str, Any] = {}
    licence: str = "Apache-2.0"
    version: str = ""
    sha256: str = ""
    graph_sha256: str = ""

    @property
    def biases(self) -> tuple[float, ...]:
        """The bias of each class, in order; empty where none was fitted."""
        return tuple(self.bias.get(key, 0.0) for key in self.classes.keys) if self.bias else ()


def find_weights(name_or_path: str | Path) -> Path:
    """The .safetensors file a name or path means.

    Names are those of weights in the package, or hf://OWNER/NAME on a model hub; a path is a .safetensors file, or the
    folder of a training run or from such a hub.

    Raises:
        ModelError: If there is none.
        MissingExtra: If it is on a hub, and huggingface_hub is not installed.
    """
    if str(name_or_path).startswith(hub.SCHEME):
        name_or_path = hub.fetch(str(name_or_path))
    shipped = SHIPPED / f"{name_or_path}.safetensors"
    if shipped.is_file():
        return shipped
    path = Path(name_or_path)
    for candidate in (path, path / "weights.safetensors", path / hub.WEIGHTS):
        if candidate.is_file():
            return candidate
    names = ", ".join(shipped_weights()) or "(none is in the package)"
    raise ModelError(f"{name_or_path}: no such weights; give a .safetensors file, a run's folder, or one of: {names}")


def shipped_weights() -> list[str]:
    """Names of the weights in the package."""
    return sorted(p.stem for p in SHIPPED.glob("*.safetensors"))


def shipped_cards() -> list[WeightsCard]:
    """Cards of the weights in the package."""
    return [read_card(find_weights(name)) for name in shipped_weights()]


def read_card(weights: Path) -> WeightsCard:
    """Reads the card beside a weights file.

    Raises:
        ModelError: If it is missing or no card.
    """
    path = weights.with_suffix(".json")
    try:
        return WeightsCard.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: the weights' card is missing; keep it beside the weights") from error
    except (ValidationError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ModelError(f"{path}: is no weights card; take the pair from one training run") from error


def write_card(card: WeightsCard, weights: Path) -> None:
    """Writes a card beside its weights file, in place of the one there."""
    write_atomically(weights.with_suffix(".json"), (card.model_dump_json(indent=1) + "\n").encode())


def read_weights(path: Path, card: WeightsCard) -> bytes:
    """Reads the weights file of a card; errors are those of `read_checked`."""
    return read_checked(path, card.sha256, "is damaged or not the file its card describes; get the pair again")


def read_checked(path: Path, sha256: str, mismatch: str) -> bytes:
    """Reads a file that a card vouches for.

    Raises:
        ModelError: If it cannot be read.
        ChecksumMismatch: If it is not the one with that checksum; `mismatch` says what that means, and the remedy.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check who may read it") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ChecksumMismatch(f"{path}: {mismatch}")
    return data
