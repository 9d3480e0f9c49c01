"""Templates of the reports, and how figures are written in them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from tumorlens.errors import needs_extra
from tumorlens.evaluation.guessing import no_better
from tumorlens.evaluation.metrics import Estimate

if TYPE_CHECKING:
    from jinja2 import Template

NOTHING = "–"
"""Stands for a figure that is undefined."""


def per_cent(value: float | None) -> str:
    """A share as per cent with one decimal; neither 100.0% nor 0.0% unless it is exactly that."""
    if value is None:
        return NOTHING
    text = f"{value:.1%}"
    if text == "100.0%" and value < 1:
        return ">99.9%"
    return "<0.1%" if text == "0.0%" and value > 0 else text


def decimal(value: float | None) -> str:
    """A figure with three decimals; not 1.000 unless it is exactly that."""
    if value is None:
        return NOTHING
    text = f"{value:.3f}"
    return ">0.999" if text == "1.000" and value < 1 else text


def interval(estimate: Estimate, form: Callable[[float | None], str] = per_cent) -> str:
    """The interval of an estimate, such as "96.1–98.2%"; empty where it has none."""
    if estimate.low is None:
        return ""
    low, high = form(estimate.low), form(estimate.high)
    low = low.removesuffix("%")  # one unit is enough
    return f"{low} – {high}" if {low[0], high[0]} & {"<", ">"} else f"{low}–{high}"


def script_hash(text: str) -> str:
    """A script as a page's content security policy names it, such as "sha256-…"."""
    return "sha256-" + b64encode(sha256(text.encode()).digest()).decode()


def load_template(path: Path) -> Template:
    """A page's template, with the filters its figures need; what it includes lies beside it, or here.

    Raises:
        MissingExtra: If Jinja2 is not installed.
    """
    with needs_extra("reports", "train"):
        import jinja2
        from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([path.parent, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    # The one script that may run on the page, by its hash: a name or title that holds another is never run.
    text = Path(__file__).with_name("page.js").read_text("utf-8")
    environment.globals.update(script=Markup(text), script_hash=script_hash(text))  # noqa: S704  # ours
    environment.filters.update(
        per_cent=per_cent,
        decimal=decimal,
        interval=interval,
        decimal_interval=lambda estimate: interval(estimate, decimal),
        no_better=no_better,
        thousands=lambda number: f"{number:,}",
    )
    return environment.get_template(path.name)
