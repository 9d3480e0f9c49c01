"""What the site changes in the pages, and what must hold of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

_OUTWARD = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")
_FETCHED = re.compile(
    r"""<(?:script|img|iframe)\b[^>]*\bsrc="(?:https?:)?//[^"]+"|<link\b[^>]*\bhref="(?:https?:)?//[^"]+\""""
)


def on_config(config: Any, **_: Any) -> Any:
    """The site's settings, with the version that it speaks of at the foot of every page."""
    code = Path(config.config_file_path).with_name("src") / "tumorlens" / "version.py"
    (version,) = re.findall(r'^__version__ = "(.+)"$', code.read_text("utf-8"), re.M)
    config.copyright = f"TumorLens {version}. {config.copyright}"
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """A page's text. Files beside the docs are no part of the site, so links to them become their words."""
    return _OUTWARD.sub(r"\1", markdown)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """A page as it is written, which must work offline.

    Raises:
        PluginError: If it fetches something from elsewhere.
    """
    if fetched := _FETCHED.search(output):
        raise PluginError(f"{page.file.src_path}: works only online: {fetched.group()}")
    return output
