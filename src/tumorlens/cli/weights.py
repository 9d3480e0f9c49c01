"""Which weights `--weights` means, where it names some for each modality: the files say what made them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from os import PathLike

from tumorlens.errors import ConfigError, InputError

_BY_MODALITY = re.compile(r"[A-Z]{2,16}=.+")


def choose_weights(named: str, paths: Iterable[str | PathLike[str]]) -> str:
    """The weights for some files.

    Args:
        named: Weights by name or path, which are meant whatever the files are; or weights by modality, such as
            "MR=cnn_lstm_efficientnet,CT=runs/ct".
        paths: Files and folders.

    Raises:
        ConfigError: If weights are named by modality, and the files are of several, of one that has none, or do not say
            what they are; or if weights know another modality than the one they are named for.
        ModelError: If there are no such weights.
    """
    if not _BY_MODALITY.fullmatch(named):
        return named
    table = _table(named)
    modalities = _modalities(paths)
    if not modalities:
        raise ConfigError(f"--weights {named}: no file says which modality it is; name the weights alone")
    if len(modalities) > 1:
        several = " and ".join(sorted(modalities))
        raise ConfigError(f"--weights {named}: the files are of {several}; give those of one modality at a time")
    (modality,) = modalities
    if modality not in table:
        known = " and ".join(table)
        raise ConfigError(f"--weights {named}: the files are {modality}, and there are weights for {known} only")
    return table[modality]


def _table(named: str) -> dict[str, str]:
    from tumorlens.card import find_weights, read_card

    table: dict[str, str] = {}
    for pair in named.split(","):
        modality, equals, weights = pair.partition("=")
        if not (modality and equals and weights):
            raise ConfigError(f"--weights {named}: write it as MR=WEIGHTS,CT=WEIGHTS")
        known = read_card(find_weights(weights)).modality.code
        if known and known != modality:
            raise ConfigError(f"--weights {named}: {weights} know {known}, and not {modality}")
        table[modality] = weights
    return table


def _modalities(paths: Iterable[str | PathLike[str]]) -> set[str]:
    """What DICOM files say of themselves; what cannot be read is told later, when it is to be read whole."""
    from tumorlens.formats import find_sources
    from tumorlens.formats.dicom import reader as dicom
    from tumorlens.formats.dicom.header import read_header
    from tumorlens.formats.sources import reader_of

    found = set()
    for source in find_sources(list(paths)):
        try:
            if source.error is None and reader_of(source.path) is dicom:
                found.add(read_header(source.path).modality)
        except InputError:
            continue
    return found - {""}
