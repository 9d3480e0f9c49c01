"""Reporting forms, filled in as far as a machine can: CLAIM 2024, TRIPOD+AI, and a model card.

A form is a YAML file in forms/: items with a title of our own, what the software knows, and what only people know.
What the software does not know is never guessed; it stays "TO DO".
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from itertools import groupby
from typing import Literal

import yaml
from pydantic import BaseModel

FORMS = ("claim_2024", "tripod_ai", "model_card")
TO_DO = "TO DO"


class FormItem(BaseModel, frozen=True, extra="forbid"):
    """One item of a form.

    Attributes:
        number: Its number in the published checklist; empty where items have none.
        filled: What the software knows.
        todo: What only people know.
    """

    section: str
    number: str
    title: str
    filled: str = ""
    todo: str = ""

    @property
    def status(self) -> Literal["filled", "in part", "to do"]:
        """How far it is filled in."""
        return "to do" if not self.filled else "in part" if self.todo else "filled"


class Form(BaseModel, frozen=True, extra="forbid"):
    """A form.

    Attributes:
        title: Its heading.
        citation: Where the published one is, and how this one differs.
        items: In the published order.
    """

    title: str
    citation: str
    items: tuple[FormItem, ...]

    @property
    def sections(self) -> list[tuple[str, list[FormItem]]]:
        """The items by heading, in order."""
        return [(name, list(items)) for name, items in groupby(self.items, lambda item: item.section)]

    @property
    def summary(self) -> str:
        """How far it is filled in, in words."""
        counts = [sum(i.status == status for i in self.items) for status in ("filled", "in part", "to do")]
        return f"Of {len(self.items)} items, {counts[0]} are filled in, {counts[1]} in part, {counts[2]} are to do."

    def markdown(self) -> str:
        """The form as Markdown."""
        lines = [
            f"# {self.title}",
            "",
            self.citation,
            "",
            f"{self.summary} What a machine cannot know is marked {TO_DO}.",
        ]
        for name, items in self.sections:
            lines += ["", f"## {name}", ""]
            for item in items:
                head = f"**{item.number} {item.title}**" if item.number else f"**{item.title}**"
                todo = f"**{TO_DO}:** {item.todo}" if item.todo else ""
                lines.append(" ".join(part for part in (f"- {head}:", item.filled, todo) if part))
        return "\n".join(lines) + "\n"


def fill_form(name: str, facts: Mapping[str, str]) -> Form:
    """Fills a form in.

    `name` is one of `FORMS`; `facts` is what the software knows, by the names that the form uses.

    Raises:
        KeyError: If the form asks for a fact that is not there.
    """
    text = (resources.files("tumorlens.evaluation.site") / "forms" / f"{name}.yaml").read_text("utf-8")
    form = Form.model_validate(yaml.safe_load(text))
    filled = (
        item.model_copy(update={k: _put(getattr(item, k), facts) for k in ("filled", "todo")}) for item in form.items
    )
    return form.model_copy(update={"items": tuple(filled)})


def _put(text: str, facts: Mapping[str, str]) -> str:
    """Puts facts into a text; a sentence that a fact ends gets one full stop, not two."""
    return " ".join(text.format_map(facts).split()).replace("..", ".").replace(".;", ";")
