"""What the site changes in the pages: files beside the docs in a clone are no part of it, so links to them go."""

from __future__ import annotations

import re
from typing import Any

_OUTWARD = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A page's text, with the words of links that lead out of docs/ instead of the links."""
    return _OUTWARD.sub(r"\1", markdown)
