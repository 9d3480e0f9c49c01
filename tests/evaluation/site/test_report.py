from html.parser import HTMLParser
from pathlib import Path

from tumorlens.evaluation.site.report import failed
from tumorlens.evaluation.site.validation import Validation


def test_the_page_is_whole_and_needs_nothing_else(validated: tuple[Validation, Path, list[str]]) -> None:
    _, folder, _ = validated
    text = (folder / "validation.html").read_text(encoding="utf-8")

    class Page(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.stack: list[str] = []
            self.links: list[str | None] = []
            self.ids: set[str | None] = set()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.ids.add(dict(attrs).get("id"))
            self.links += [v for k, v in attrs if k in ("src", "href")]
            if tag not in ("meta", "link", "img", "br"):
                self.stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert self.stack.pop() == tag

    page = Page()
    page.feed(text)
    assert page.stack == []
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert "case 00" in text


def test_the_page_leads_with_what_failed(validated: tuple[Validation, Path, list[str]]) -> None:
    validation, folder, _ = validated
    text = (folder / "validation.html").read_text(encoding="utf-8")
    marks = failed(validation)
    assert marks[0][0] == "below"  # the card promises 98%
    assert ("guesses", True) in [(mark, "no better than guessing" in words) for mark, words in marks]
    first = text[text.index('<section id="promise"') : text.index("Against the weights card")]
    assert first.count('<span class="mark below">below</span>') == sum(mark == "below" for mark, _ in marks)
    assert f"{validation.scores.detection.missed} slices with a tumour were called free of it" in first
    assert len(validation.unreadable) == 1
    assert "1 file could not be read" in first
    assert "as promised" not in text
