"""Every setting of a training run, with its default and its why. A YAML file or flags fill it in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from tumorlens.errors import ConfigError
from tumorlens.modality import Modality, as_modality, find_modality
from tumorlens.preprocess import Preprocessing

_ATTENTION = {
    "epochs": 50,
    "patience": 50,
    "augmentation": 1.6,
    "warp": 0.04,
    "weight_decay": 0.1,
    "averaging": 0.995,
    "mirrored": True,
}

RECIPES: dict[str, dict[str, Any]] = {
    "cnn_lstm_attention": {"preprocessing": {"size": 64, "intensity": "stretch"}, **_ATTENTION},
    "cnn_lstm_attention_fast": {
        "preprocessing": {"size": 64, "intensity": "stretch"},
        **_ATTENTION,
        "options": {"background": 0.004},
        "twins": 1.0,
        "patched": 0.5,
        "transplants": 0.6,
        "epochs": 60,
        "patience": 60,
        "mirrored": False,
    },
    "cnn_lstm_efficientnet": {
        "preprocessing": {"size": 128, "intensity": "stretch"},
        **_ATTENTION,
        "epochs": 16,
        "patience": 16,
        "batch_size": 32,
        "learning_rate": 1e-3,
        "half": True,
        "augmentation": 1.0,
        "warp": 0.02,
        "weight_decay": 0.05,
        "twins": 1.0,
        "patched": 0.5,
        "transplants": 0.6,
    },
}
"""Settings that a network has by default where they differ from the general ones, by its name."""


class TrainConfig(BaseModel):
    """The settings of a training run. Each field's description is also the CLI's help text.

    Where a setting is not given, the network's own default counts, from `RECIPES`, and only then the one below.
    """

    # A name of digits and "precision: 32" are numbers in YAML.
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    model: str = Field("cnn_lstm", description="network to train")
    options: dict[str, Any] = Field({}, description="the network's own settings, such as widths or hidden")
    preprocessing: Preprocessing = Field(Preprocessing(), description="how scans become input")

    mirrored: bool = Field(
        False, description="answer with the mean over a scan and its mirror image, in twice the time"
    )

    half: bool = Field(False, description="store the weights in half precision: half the size")

    modality: Annotated[Modality, BeforeValidator(as_modality)] = Field(
        find_modality("MR"), description="what the scans are: MR, CT, SM (stained tissue), or a card's path"
    )
    unlike: dict[str, str] = Field(
        {},
        description="pictures of other kinds, to be recognised by name: folder or data set, such as unlike.CT=head_ct",
    )

    name: str = Field("", description="name of the weights; the run folder's by default")
    cautions: tuple[str, ...] = Field((), description="what is known to speak against the data, for card and report")

    split: str = Field(
        "grouped",
        pattern=r"^(grouped|random|publisher|fold:\d+|all)$",
        description="grouped: stratified, keeping patients, series and duplicates together as far as they are "
        "known; random: stratified scan by scan, the paper's protocol; publisher: the data set's own; "
        "fold:K: fold K is the test; all: every scan trains, and nothing is tested",
    )
    test: float = Field(0.2, gt=0, le=0.5, description="share of the scans for the test")
    validation: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="share of the training part for validation; 0 takes none, and keeps the last epoch's weights",
    )
    seed: int = Field(0, ge=0, description="same seed, same machine: same result")

    epochs: int = Field(40, ge=1, description="passes over the training part, at most")
    patience: int = Field(12, ge=1, description="epochs without a better validation loss before it stops early")
    batch_size: int = Field(64, ge=2, description="scans a step")
    learning_rate: float = Field(3e-3, gt=0, le=1, description="peak of the one-cycle schedule")
    weight_decay: float = Field(0.02, ge=0, description="AdamW's")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of the target spread over all classes")
    class_weights: bool = Field(True, description="weigh classes by how rare they are")
    guidance: float = Field(
        1.0,
        ge=0,
        le=100,
        description="weight of the outlines, where the data have some and the network attends; 0 is none",
    )
    twins: float = Field(
        0.0,
        ge=0,
        le=1,
        description="tumour-free twins an epoch, as a share of the outlined scans: the tumour replaced by the like "
        "place of another patient's slice; 0 is none",
    )
    patched: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the scans shown with a patch pasted off the tumour, so that pasting itself tells "
        "nothing; 0 is none",
    )
    transplants: float = Field(
        0.0,
        ge=0,
        le=1,
        description="tumours put into other patients' twins an epoch, smaller or as they are, as a share of the "
        "outlined scans; needs twins; 0 is none",
    )
    bound: tuple[str, ...] = Field(
        ("meningioma", "pituitary"),
        description="classes whose tumours are bound to their place: transplanted to the same place only",
    )
    augmentation: float = Field(1.0, ge=0, le=3, description="strength of the random changes; 0 is none")
    warp: float = Field(
        0.0, ge=0, le=0.2, description="size of smooth random bends, in halves of the picture; 0 is none"
    )
    dropped: float = Field(
        0.25, ge=0, lt=1, description="how often each of several sequences is left out of a scan; one always stays"
    )
    averaging: float = Field(0.99, ge=0, lt=1, description="decay of the weights' moving average; 0 is none")
    precision: Annotated[Literal["auto", "32", "bf16"], BeforeValidator(str)] = Field(
        "auto", description="auto is bf16 where the processor has it, which is about twice as quick"
    )
    threads: int = Field(0, ge=0, description="processor threads; 0 leaves it to torch")

    @model_validator(mode="before")
    @classmethod
    def _fill_in_recipe(cls, settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        recipe = RECIPES.get(str(settings.get("model", cls.model_fields["model"].default)), {})
        filled = {**recipe, **settings}
        modality = as_modality(settings.get("modality", ""))
        own = modality.preprocessing if isinstance(modality, Modality) else {}
        for name, more in (("preprocessing", own), ("options", {})):
            given = settings.get(name, {})
            if isinstance(given, dict) and (name in recipe or more):
                filled[name] = {**recipe.get(name, {}), **more, **given}
        return filled


def read_config(path: Path | None, changes: dict[str, Any]) -> TrainConfig:
    """Reads settings from a YAML file, then applies changes.

    Args:
        path: The file, or None for the defaults.
        changes: Settings by name; those that are None are left as they are, and dictionaries are merged.

    Raises:
        ConfigError: If the file cannot be read, or a setting is unknown or out of range.
    """
    settings: dict[str, Any] = {}
    if path is not None:
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())})") from error
        if not isinstance(settings, dict):
            raise ConfigError(f"{path}: holds no settings; write lines such as 'epochs: 40'")
    for name, value in changes.items():
        if isinstance(value, dict):
            given = {k: v for k, v in value.items() if v is not None}
            settings[name] = {**_mapping(name, settings.get(name)), **given}
        elif value is not None:
            settings[name] = value
    try:
        return TrainConfig.model_validate(settings)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {_problem(e)}" for e in error.errors())
        raise ConfigError(f"{path or 'settings'}: {problems}") from error


def _mapping(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict | None):
        raise ConfigError(f"{name}: {value!r} is one value, and it takes several; write {name}.SETTING=VALUE")
    return value or {}


def _problem(error: Any) -> str:
    unknown = error["type"] == "extra_forbidden"
    return "there is no such setting; `tumorlens settings` lists them" if unknown else error["msg"]


def parse_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """Reads "name=value" settings; values are YAML, and a dot goes into "options.hidden=128".

    Raises:
        ConfigError: If one is not of that form.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise ConfigError(f"--set {pair}: write it as name=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {pair}: the value is no YAML") from error
        outer, dot, inner = name.partition(".")
        if dot:
            settings[outer] = {**_mapping(outer, settings.get(outer)), inner: value}
        else:
            settings[outer] = value
    return settings


def describe_settings() -> list[tuple[str, str, str]]:
    """Name, default and meaning of every setting."""
    fields = TrainConfig.model_fields.items()
    return [(name, _shown(field.get_default()), field.description or "") for name, field in fields]


def _shown(default: object) -> str:
    return str(default.model_dump(mode="json") if isinstance(default, BaseModel) else default)


def write_config(config: TrainConfig, path: Path) -> None:
    """Writes the settings as YAML, so that the same run can be made again."""
    path.write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
