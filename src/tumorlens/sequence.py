"""What a series of MR images is: its sequence and contrast agent by the names that scanners and people give them."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel

Sequence = Literal["T1 post-contrast", "T1", "T2", "FLAIR", "diffusion", "perfusion", "susceptibility", "angiography"]

Flaw = Literal["localiser", "mosaic of slices", "projection of others", "no MR or CT image"]
"""Why a series is none of slices of a head that can be judged one by one."""

_WORD = r"(?<![a-z0-9]){}(?![a-z0-9])"
# Asked in this order: a "T2 FLAIR" is a FLAIR, a "T2 star perfusion" a perfusion.
_NAMES: tuple[tuple[Sequence, str], ...] = (
    ("diffusion", r"diff|dwi|dti|tracew?|adc|resolve"),
    ("perfusion", r"perf\w*|dsc|dce|asl|pasl|pcasl|cbf|cbv|r?cbv|mtt|ttp|tmax|twist"),
    ("angiography", r"tof|mra|mrv|angio\w*|pc3d|vessels"),
    ("susceptibility", r"swi|swan|swip|qsm|hemo|haemo|medic|t2 ?\*|t2 ?star|t2s"),
    ("FLAIR", r"flair|t2f|dark ?fluid|tirm|tir"),
    ("T2", r"t2w?|t2 ?weighted|haste|ciss|fiesta|drive"),
    ("T1", r"t1\w*|mprage|mp2rage|bravo|f?spgr|vibe|mdixon|thrive|lava"),
)
_MATCHES = tuple((name, re.compile(_WORD.format(f"(?:{words})"))) for name, words in _NAMES)
_LOCALISER = re.compile(_WORD.format(r"(?:loc|locali[sz]ers?|scout|survey|pilot|planning|aahead\w*|3 ?plane)"))
_WITHOUT = re.compile(_WORD.format(r"(?:pre|native?|plain|non ?contrast|no ?contrast|without|w ?o|ohne|sans)"))
_WITH = re.compile(
    _WORD.format(
        r"(?:t1(?:w|fl|se|tse)?(?:c|ce|gd|post|km)|post|postc|postcontrast|post ?contrast|ce|gd|gad\w*|contrast"
        r"|enhanced|km|kontrast\w*|mit km|\+ ?c|c ?\+|with contrast|gado\w*|inj\w*)"
    )
)
_NONE = ("", "none", "no", "na", "without", "unknown", "0")


class SeriesInfo(BaseModel, frozen=True):
    """What the files say of a series of images.

    Attributes:
        number: SeriesNumber, as the scanner's list has it.
        description: SeriesDescription, or a volume's file name.
        sequence: Its sequence, T1 with contrast agent told from T1 without; None where nothing tells.
        flaw: Why it is no series of slices to judge one by one, such as a localiser; None where it is one.
    """

    number: int | None = None
    description: str = ""
    sequence: Sequence | None = None
    flaw: Flaw | None = None


def name_sequence(
    *texts: str,
    agent: str | None = None,
    times: tuple[float | None, float | None, float | None] = (None, None, None),
) -> Sequence | None:
    """The sequence of a series; None where neither names nor times tell.

    `texts` are what it is called: description, protocol, pulse sequence, or a volume's file name, the clearest first;
    `agent` is the contrast agent its files name; `times` are repetition, echo and inversion time in ms.
    """
    plain = [_plain(text) for text in texts]
    sequence = next((name for text in plain for name, words in _MATCHES if words.search(text)), None)
    sequence = sequence or _by_times(*times)
    if sequence != "T1":
        return sequence
    named = next((text for text in plain if _WITH.search(text) or _WITHOUT.search(text)), None)
    if named is not None:
        return "T1" if _WITHOUT.search(named) else "T1 post-contrast"
    return "T1" if agent is None or _plain(agent).strip() in _NONE else "T1 post-contrast"


def is_localiser(*texts: str) -> bool:
    """Whether a series is there to plan others on, by what it is called."""
    return any(_LOCALISER.search(_plain(text)) for text in texts)


def _plain(text: str) -> str:
    """Lower case, with spaces for what separates words in names of protocols and files."""
    return re.sub(r"[\s_/.,:;()\[\]-]+", " ", text.casefold())


def _by_times(repetition: float | None, echo: float | None, inversion: float | None) -> Sequence | None:
    """The weighting that times in ms make, where they leave no doubt."""
    if not repetition or not echo:
        return None
    if echo >= 70 and repetition >= 2000:
        return "FLAIR" if inversion and inversion >= 1500 else "T2"
    if echo <= 30 and (repetition <= 800 or (inversion is not None and 600 <= inversion <= 1300)):
        return "T1"
    return None
