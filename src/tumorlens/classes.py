"""The classes a network tells apart. They are data: they belong to the weights card.

`BRAIN_TUMORS` is the built-in set, the paper's four classes, and the only list of classes in this project.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from pydantic import BaseModel, Field, model_validator


class Code(BaseModel, frozen=True):
    """A terminology code.

    Attributes:
        scheme: DICOM coding scheme designator, such as "SCT" for SNOMED CT.
    """

    scheme: str
    value: str
    meaning: str


class ScanClass(BaseModel, frozen=True):
    """One class.

    Attributes:
        key: Identifier in code, files and JSON, such as "no_tumor".
        name: What people read, such as "no tumour".
        nothing: Whether the class means that nothing was found; such a class has no region.
        aliases: Other spellings of the key in folder names and tables.
    """

    key: str = Field(min_length=1)
    name: str
    nothing: bool = False
    aliases: tuple[str, ...] = ()
    codes: tuple[Code, ...] = ()


def _plain(text: str) -> str:
    """Folds case, spaces, dashes and underscores away: "No-Tumor" and "no_tumor" are one spelling."""
    return re.sub(r"[\W_]+", "", text.casefold())


class ClassSet(BaseModel, frozen=True):
    """The classes of a network, in the order of its outputs."""

    classes: tuple[ScanClass, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _check_spellings(self) -> ClassSet:
        spellings = [(_plain(s), c.key) for c in self.classes for s in {_plain(c.key), *map(_plain, c.aliases)}]
        if len({s for s, _ in spellings}) != len(spellings):
            raise ValueError("two classes share a key or an alias")
        return self

    @classmethod
    def of(cls, keys: Iterable[str]) -> ClassSet:
        """A set for other classes: their keys, sorted, with the key as the name."""
        return cls(classes=tuple(ScanClass(key=k, name=k.replace("_", " ")) for k in sorted(set(keys))))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """The classes' keys, in the order of the network's outputs."""
        return tuple(c.key for c in self.classes)

    @cached_property
    def nothing(self) -> tuple[int, ...]:
        """Indices of the classes that mean nothing was found."""
        return tuple(i for i, c in enumerate(self.classes) if c.nothing)

    @cached_property
    def _index_of_spelling(self) -> dict[str, int]:
        return {_plain(s): i for i, c in enumerate(self.classes) for s in (c.key, *c.aliases)}

    def match(self, spelling: str) -> int | None:
        """The index of the class that is spelled so, or None: `match("No-Tumor")` is the index of "no_tumor"."""
        return self._index_of_spelling.get(_plain(spelling))

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, index: int) -> ScanClass:
        return self.classes[index]

    def __iter__(self) -> Iterator[ScanClass]:  # type: ignore[override]
        return iter(self.classes)


BRAIN_TUMORS = ClassSet(
    classes=(
        ScanClass(key="glioma", name="glioma", aliases=("glioma_tumor", "glioma_tumour", "gliomas")),
        ScanClass(
            key="meningioma", name="meningioma", aliases=("meningioma_tumor", "meningioma_tumour", "meningiomas")
        ),
        ScanClass(
            key="pituitary",
            name="pituitary tumour",
            aliases=("pituitary_tumor", "pituitary_tumour", "pituitary_adenoma"),
        ),
        ScanClass(
            key="no_tumor",
            name="no tumour",
            nothing=True,
            aliases=("no_tumour", "no", "none", "normal", "healthy", "no_tumors"),
        ),
    )
)
"""The paper's four classes. Terminology codes come with the DICOM results that need them."""
