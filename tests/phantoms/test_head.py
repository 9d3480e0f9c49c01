from __future__ import annotations

import sys

import pytest

from tumorlens.errors import MissingExtra
from tumorlens.phantoms.head import head


def test_without_nilearn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nilearn", None)
    with pytest.raises(MissingExtra, match=r"\.\[train\]"):
        head.__wrapped__()
