"""Out-of-distribution measure of a scan: how far it lies from the training scans, and why, in words.

`model.gate` takes the measurements; here is what they mean. It loads no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pydantic import BaseModel

_SALIENT = 2.3  # standard deviations from which a check is named: one scan in a hundred lies beyond, on either side

# What checks beyond their usual range mean, the plainest first: (place in `checks`, above or below, words).
_WORDS = (
    (0, 1, "almost all background"),
    (1, 1, "large parts are white"),
    (7, 1, "noise or a fine pattern"),
    (7, -1, "too smooth"),
    (0, -1, "hardly any background"),
    (2, 1, "the picture goes on to its border"),
    (8, 1, "its content lies to the right"),
    (8, -1, "its content lies to the left"),
    (9, 1, "its content lies low"),
    (9, -1, "its content lies high"),
    (13, 1, "its two sides differ"),
    (10, 1, "wider than a head"),
    (10, -1, "narrower than a head"),
    (11, 1, "taller than a head"),
    (11, -1, "flatter than a head"),
    (3, 1, "too bright"),
    (3, -1, "too dark"),
    (4, 1, "too much contrast"),
    (4, -1, "too little contrast"),
    (14, 1, "a straight vertical edge"),
    (15, 1, "a straight horizontal edge"),
    (5, 1, "too many edges"),
    (5, -1, "too few edges"),
    (6, 1, "too much fine detail"),
    (6, -1, "too little fine detail"),
    (12, 1, "too many shades of grey"),
    (12, -1, "too few shades of grey"),
)
_FAR = 2.5  # times the limit, by checks: scans with text in them reach 2.3, head CT 1.4; a page of a book, 3.1
_CONTENT = "what it shows differs, such as a level of the head or an abnormality not seen in training"
_STRANGE = "its brightness, edges and shape do not go together"


class Strangeness(BaseModel, frozen=True):
    """How far a scan lies from the training scans.

    Attributes:
        score: The distance: 1 is the limit, larger is stranger, 0 is the training scans' mean.
        reason: Why it is beyond the limit, in words; empty where it is not.
    """

    score: float
    reason: str = ""

    @property
    def unknown(self) -> bool:
        """Whether the scan is beyond the limit; what the network says of it then means nothing."""
        return self.score > 1


class Kind(BaseModel, frozen=True):
    """A kind of picture that is no scan like those of the training, and how it is told from them.

    Attributes:
        name: Such as "CT".
        words: What to say of a scan that is one.
        weights: Of the 16 checks, in standard deviations from the training scans' mean.
        bias: Added to their sum, which is how like the kind a scan is: 0 on average over scans like those of the
            training, 1 at the limit.
    """

    name: str
    words: str
    weights: tuple[float, ...]
    bias: float

    def likeness(self, standardised: Sequence[float]) -> float:
        """How like this kind a scan is, by its checks; above 1 it is one."""
        return math.fsum(w * z for w, z in zip(self.weights, standardised, strict=True)) + self.bias


def judge(distances: Sequence[float], standardised: Sequence[float], kinds: Sequence[Kind] = ()) -> Strangeness:
    """The strangeness of one scan, of a gate's measurements.

    Takes two distances, by checks and by features, 1 being the limit; the 16 checks in standard deviations from the
    training scans' mean; and the kinds that it may be recognised as, which make it strange.
    """
    by_check, by_feature = map(float, distances)
    likeness, likest = max(((kind.likeness(standardised), kind.words) for kind in kinds), default=(0.0, ""))
    score = max(by_check, by_feature, likeness)
    if score <= 1:
        return Strangeness(score=score)
    # A discriminant between scans and a kind says nothing of what is far from both.
    if likeness > 1 and by_check <= _FAR:
        return Strangeness(score=score, reason=f"unlike the scans it was trained on: {likest}")
    above = f"{math.ceil(score * 100) / 100:.2f}"  # never "1.00"
    if by_feature > by_check:
        what = _CONTENT
    else:
        what = next((words for i, sign, words in _WORDS if sign * standardised[i] > _SALIENT), _STRANGE)
    return Strangeness(
        score=score, reason=f"unlike the scans it was trained on: {what} (distance {above}, accepted up to 1)"
    )
