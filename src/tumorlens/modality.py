"""A modality: what the scans of some weights are. It is a card, a file of YAML, and travels in the weights card.

MR, CT and SM (slide microscopy) are built in; `find_modality("my-modality.yaml")` reads one's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from tumorlens.errors import ConfigError
from tumorlens.scan import Scan

BUILT_IN = Path(__file__).parent / "modalities"

COLOURFUL = 0.11
"""Mean distance of the strongest from the weakest colour, of [0, 1], from which a picture is in colour. Slices of
heads that somebody saved with a tint have 0.09 and less, stained tissue 0.13 and more but for tiles of hardly anything
but glass: 3 in 1000 of LC25000's lung tiles lie below, by benchmarks/modalities.py."""


class Modality(BaseModel, frozen=True, extra="forbid"):
    """Imaging modality of some weights: its name, words, file formats and results.

    Attributes:
        code: DICOM's name for what made them, such as "MR"; a scan that says another is unknown. Empty where any
            serves.
        name: What people call them, such as "brain MRI".
        word: What one of them is called: a "slice" or a "tile".
        colour: Whether they are in colour, so that a grey one is none of them, or grey, so that one in colour is
            none; None where either serves.
        upright: Whether they have an up. Those that have none are trained on in all eight ways they can lie, and in
            the shades that stains have.
        formats: Which files hold them.
        results: Which results make sense of them.
        preprocessing: Settings of `Preprocessing` that training begins with.
    """

    code: str = Field("", pattern=r"^[A-Z]{0,16}$")
    name: str = "scans of any kind"
    word: str = "slice"
    colour: bool | None = None
    upright: bool = True
    formats: tuple[Literal["DICOM", "NIfTI", "MATLAB", "picture", "slide"], ...] = ()
    results: tuple[Literal["heat map", "study", "DICOM", "FHIR", "slide map"], ...] = ("heat map",)
    preprocessing: dict[str, Any] = {}

    def refuses(self, scan: Scan, *, sees_colour: bool = False) -> str:
        """Why a scan is of another modality, by what its file says and by its colour; empty where it is not.

        Weights that see colour know best what to make of it.
        """
        if scan.modality and self.code and scan.modality != self.code:
            return f"its file says {scan.modality}, and these weights know {self.code} only"
        if self.colour is False and not sees_colour and is_colourful(scan.pixels):
            return f"it is in colour, as stained tissue is, and these weights know {self.name} only"
        if self.colour and scan.pixels.ndim == 2:
            return f"it is grey, as MR and CT are, and these weights know {self.name} only"
        return ""


def is_colourful(pixels: NDArray[np.float32], opaque: NDArray[np.float32] | None = None) -> bool:
    """Whether a picture is in colour, and not merely tinted.

    Args:
        pixels: (H, W) or (H, W, 3) in [0, 1].
        opaque: How much of each pixel is seen, in [0, 1], where the rest of it was laid on black.
    """
    if pixels.ndim == 2:
        return False
    spread = np.ptp(pixels, axis=2)
    return float(spread.mean()) > COLOURFUL * (1 if opaque is None else float(opaque.mean()))


def find_modality(name: str) -> Modality:
    """The modality of a DICOM code, such as "MR", or of a card: a YAML file. An empty name is any modality.

    Raises:
        ConfigError: If there is none, or the file is no such card.
    """
    if not name:
        return Modality()
    path = BUILT_IN / f"{name.upper()}.yaml" if name.isalpha() else Path(name)
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in BUILT_IN.glob("*.yaml")))
        raise ConfigError(
            f"{name}: there is no such modality; give {names}, or the path of a card (docs/modalities.md)"
        )
    try:
        return Modality.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({' '.join(str(error).split())[:200]})") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise ConfigError(f"{path}: is no modality card ({problems}); see docs/modalities.md") from error


def as_modality(given: Any) -> Any:
    """A name or path as the modality it means; anything else as it is. For fields that take either."""
    return find_modality(given) if isinstance(given, str) else given
