"""What the API's page says of each operation, and what the form has in which it is tried; from the OpenAPI document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

_UNTRIED = ("/events", "/login", "/logout")
"""An endless answer, and what would take the page away from whoever tries it."""

_EMPTY: Mapping[str, Any] = {"string": "", "integer": 1, "number": 1, "boolean": False, "array": [], "object": {}}


@dataclass(frozen=True)
class Parameter:
    """A parameter: where it stands ("path" or "query"), whether it must be given, its words, choices and default."""

    name: str
    where: str
    required: bool
    what: str
    choices: tuple[str, ...]
    default: str


@dataclass(frozen=True)
class Operation:
    """Something that the API does.

    Attributes:
        key: What its place on the page is called.
        body: What is sent with it.
        example: Such a body, where it is JSON.
        answers: Statuses it may have.
        tried: Whether the page has a form for it.
    """

    key: str
    method: str
    path: str
    what: str
    parameters: tuple[Parameter, ...]
    body: Literal["", "json", "file"]
    example: str
    answers: tuple[str, ...]
    tried: bool

    @property
    def title(self) -> str:
        """Its first sentence."""
        return re.split(r"(?<=[.!?;:])\s", self.what.strip(), maxsplit=1)[0].rstrip(".;:")


def operations(document: Mapping[str, Any]) -> dict[str, list[Operation]]:
    """Everything that an OpenAPI document offers, by its tags, in the document's order."""
    found: dict[str, list[Operation]] = {}
    for path, methods in document["paths"].items():
        for method, what in methods.items():
            body, example = _body(what, document)
            operation = Operation(
                key=re.sub(r"\W+", "-", f"{method}{path}").strip("-"),
                method=method.upper(),
                path=path,
                what=what.get("description") or what["summary"],
                parameters=tuple(_parameter(p, document) for p in what.get("parameters", ())),
                body=body,
                example=example,
                answers=tuple(what["responses"]),
                tried=not path.endswith(_UNTRIED),
            )
            found.setdefault(what.get("tags", ["other"])[-1], []).append(operation)
    return found


def _parameter(given: Mapping[str, Any], document: Mapping[str, Any]) -> Parameter:
    schema = _resolved(given["schema"], document)
    choices = schema.get("enum") or (("true", "false") if schema.get("type") == "boolean" else ())
    default = schema.get("default")
    return Parameter(
        name=given["name"],
        where=given["in"],
        required=given.get("required", False),
        what=given.get("description") or schema.get("title", ""),
        choices=tuple(str(choice) for choice in choices),
        default="" if default is None else str(default).lower() if isinstance(default, bool) else str(default),
    )


def _body(what: Mapping[str, Any], document: Mapping[str, Any]) -> tuple[Literal["", "json", "file"], str]:
    content = what.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        example = _example(content["application/json"]["schema"], document)
        return "json", json.dumps(example, indent=1, ensure_ascii=False)
    return ("file" if content else ""), ""


def _example(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    """A body that fits a schema: its defaults, and something simple where there are none."""
    schema = _resolved(schema, document)
    if schema.get("default") is not None:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        # What may be left out, and has no default, is.
        properties = {k: _resolved(v, document) for k, v in schema["properties"].items()}
        wanted = (k for k, v in properties.items() if k in schema.get("required", ()) or v.get("default") is not None)
        return {key: _example(properties[key], document) for key in wanted}
    return _EMPTY.get(schema.get("type", "string"), "")


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without references; of several it may be, the first that is something."""
    if name := schema.get("$ref"):
        schema = document["components"]["schemas"][name.rpartition("/")[2]]
    if several := schema.get("anyOf"):
        something: Mapping[str, Any] = next((s for s in several if s.get("type") != "null"), {})
        schema = {**_resolved(something, document), **{k: v for k, v in schema.items() if k != "anyOf"}}
    return schema
