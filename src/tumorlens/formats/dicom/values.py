"""Values of DICOM elements, whatever is missing or malformed: the one place where bad values are handled."""

from __future__ import annotations

import math
import re
from typing import Any

from tumorlens.formats.dicom.geometry import Vector


def _value(dataset: Any, keyword: str) -> Any:
    """An element's value; None where it is missing or cannot be parsed."""
    try:
        return dataset.get(keyword)
    except (OSError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - pydicom raises nearly anything of a malformed value
        return None


def texts_of(dataset: Any, keyword: str) -> list[str]:
    """An element's values as texts."""
    value = _value(dataset, keyword)
    return [] if value is None else [value] if isinstance(value, str) else [str(v) for v in _several(value)]


def text_of(dataset: Any, keyword: str) -> str:
    """An element's value as a text, stripped; empty if absent or malformed."""
    return str(_value(dataset, keyword) or "").strip()


def code_of(dataset: Any, keyword: str) -> str:
    """A code string (CS) in capitals; empty if absent or malformed, so that no free text passes through."""
    value = text_of(dataset, keyword).upper()
    return value if re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) else ""


def numbers_of(dataset: Any, keyword: str, count: int) -> Vector | None:
    """So many finite numbers; None where there are others."""
    try:
        numbers = tuple(float(v) for v in _several(_value(dataset, keyword)))
    except (ValueError, TypeError, OverflowError):
        return None
    return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None


def number_of(dataset: Any, keyword: str) -> float | None:
    """The first, or only, value of an element as a finite number."""
    try:
        number = float(next(iter(_several(_value(dataset, keyword)))))
    except (StopIteration, ValueError, TypeError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def whole_of(dataset: Any, keyword: str) -> int | None:
    """The same as `number_of`, as an integer."""
    number = number_of(dataset, keyword)
    return None if number is None else int(number)


def _several(value: Any) -> Any:
    """The values of an element that may have one, several or none."""
    if value is None or value == "":
        return ()
    return value if hasattr(value, "__iter__") and not isinstance(value, str) else (value,)


def items_of(dataset: Any, keyword: str) -> list[Any]:
    """The items of a sequence; none if it is absent or malformed."""
    from pydicom import Dataset

    value = _value(dataset, keyword)
    return [item for item in value if isinstance(item, Dataset)] if hasattr(value, "__iter__") else []


def first_of(dataset: Any, keyword: str) -> Any:
    """The first item of a sequence; an empty data set if there is none."""
    from pydicom import Dataset

    items = items_of(dataset, keyword)
    return items[0] if items else Dataset()
