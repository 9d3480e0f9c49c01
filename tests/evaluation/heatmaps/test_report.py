from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tumorlens.classifier import Classifier
from tumorlens.data.loader import Slices
from tumorlens.errors import MissingExtra
from tumorlens.evaluation.heatmaps import report as heatmap_report
from tumorlens.evaluation.heatmaps.localization import ScanLocalization
from tumorlens.evaluation.heatmaps.report import (
    NO_OUTLINES,
    HeatmapScores,
    choose_extremes,
    draw_case,
    measure_heatmaps,
)
from tumorlens.listener import Listener
from tumorlens.outline import Outline
from tumorlens.scan import Scan

VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Checks that tags are closed in order, and gathers what is on the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def measure(
    make_spotter: Callable[..., Classifier], make_spots: Callable[..., Slices], tmp_path: Path
) -> Callable[..., tuple[HeatmapScores, Path, list[str]]]:
    def run(*, says: int = 0, bias: float = 0.0, **settings: bool) -> tuple[HeatmapScores, Path, list[str]]:
        told: list[str] = []
        folder = tmp_path / "evaluation"
        slices = make_spots(8, **settings)
        scores = measure_heatmaps(
            make_spotter(says, bias), slices, np.arange(2), np.arange(2, 9), folder, listener=Listener(told.append)
        )
        return scores, folder, told

    return run


def read(folder: Path) -> Page:
    return Page((folder / "heatmaps.html").read_text(encoding="utf-8"))


def test_the_page_says_how_maps_do_and_what_they_are_held_against(
    measure: Callable[..., tuple[HeatmapScores, Path, list[str]]],
) -> None:
    _, folder, told = measure()
    page = read(folder)
    assert "lies on the tumour, or just beside it, in 100.0% of 6 scans" in page.text
    assert "about as often as the best baseline, “brightest”" in page.text
    for words in ("Grad-CAM++", "HiResCAM", "LayerCAM", "chance", "centre", "insertion ↑", "deletion ↓", "mirror ↑"):
        assert words in page.text
    for section in ("short", "outlines", "parts", "faithfulness", "cases", "cautions", "reproduce"):
        assert ("section", section) in [(tag, attrs.get("id")) for tag, attrs in page.tags]
    assert "Synthetic data" in page.text
    assert any("outlines" in text for text in told)


def test_the_page_is_self_contained(measure: Callable[..., tuple[HeatmapScores, Path, list[str]]]) -> None:
    _, folder, _ = measure()
    page = read(folder)
    sources = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if attrs.get(name)]
    assert sources
    assert all(s.startswith(("data:", "#")) for s in sources)
    assert [tag for tag, _ in page.tags].count("script") == 1, "but the reports' own"
    assert sorted(p.name for p in folder.iterdir()) == ["heatmaps.html", "heatmaps.json"]


def test_the_json_holds_what_the_page_shows(measure: Callable[..., tuple[HeatmapScores, Path, list[str]]]) -> None:
    scores, folder, _ = measure()
    assert HeatmapScores.model_validate_json((folder / "heatmaps.json").read_text(encoding="utf-8")) == scores
    assert scores.localization.target == "predicted"
    assert scores.localization_true.target == "true"
    assert scores.notes == []


def test_without_outlines_only_faithfulness_is_measured_and_that_is_said(
    measure: Callable[..., tuple[HeatmapScores, Path, list[str]]],
) -> None:
    scores, folder, _ = measure(outlines=False)
    page = read(folder)
    assert scores.localization is None
    assert scores.notes == [NO_OUTLINES]
    assert NO_OUTLINES in page.text
    assert scores.faithfulness.n == 7
    assert "insertion ↑" in page.text
    assert "pointing game" not in page.text.lower()
    assert ("section", "cases") not in [(tag, attrs.get("id")) for tag, attrs in page.tags]


@pytest.mark.parametrize("network", [{"bias": 1000.0}, {"says": 3}], ids=["no evidence", "evidence for nothing"])
def test_blank_maps_are_not_drawn(
    measure: Callable[..., tuple[HeatmapScores, Path, list[str]]], network: dict[str, float] | dict[str, int]
) -> None:
    _, folder, _ = measure(**network)
    page = read(folder)
    assert page.text.count("no heat map") == 6
    assert "called no tumour" in page.text
    assert "less often than the best baseline" in page.text


def test_failed_checks_are_marked(measure: Callable[..., tuple[HeatmapScores, Path, list[str]]]) -> None:
    _, folder, _ = measure(bias=1000.0)
    assert "no better than a random map" in read(folder).text


def test_a_missing_jinja_is_said_before_anything_is_measured(
    measure: Callable[..., tuple[HeatmapScores, Path, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise MissingExtra("reports", "train")

    monkeypatch.setattr(heatmap_report, "load_template", missing)
    monkeypatch.setattr(heatmap_report, "judge_maps", None)
    with pytest.raises(MissingExtra):
        measure()


def row(name: str, dice: float, mass: float = 0.0) -> ScanLocalization:
    return ScanLocalization(
        name=name, label="glioma", predicted="glioma", area=0.01, pointing=0, mass=mass, dice=dice, blank=False
    )


def test_extremes_are_by_dice_then_by_heat_inside() -> None:
    scans = [row("e", 0, 0.1), row("a", 0.9), row("c", 0.5), row("b", 0.7), row("d", 0.3), row("f", 0, 0)]
    chosen = {kind: [s.name for s in rows] for kind, rows in choose_extremes(scans, 2).items()}
    assert chosen == {"best": ["a", "b"], "median": ["c", "d"], "worst": ["f", "e"]}


@pytest.mark.parametrize("n", range(12))
def test_no_scan_is_shown_twice(n: int) -> None:
    chosen = choose_extremes([row(str(i), i / 12) for i in range(n)], 3)
    names = [s.name for rows in chosen.values() for s in rows]
    assert len(names) == len(set(names))
    assert all(len(rows) == min(3, n // 3) for rows in chosen.values())


def test_lines_lie_where_the_outline_and_the_region_are() -> None:
    scan = Scan(np.zeros((64, 64), np.float32), "scan.png")
    outline = Outline(np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]]))
    heat = np.zeros((64, 64), np.float32)
    heat[40:56, 8:24] = 1
    original, overlay = draw_case(scan, outline, heat, 0.5)
    assert original.size == overlay.size == (640, 640)
    bright = np.argwhere(np.asarray(original.convert("L")) > 200)
    np.testing.assert_allclose([*bright.min(0), *bright.max(0)], [160, 160, 480, 480], atol=3)
    pixels = np.asarray(overlay).astype(int)
    blue = np.argwhere((pixels[..., 0] < 100) & (pixels[..., 2] > 200))
    np.testing.assert_allclose([*blue.min(0), *blue.max(0)], [400, 80, 560, 240], atol=8)


def test_no_heat_no_overlay() -> None:
    scan = Scan(np.zeros((64, 48), np.float32), "scan.png")
    outline = Outline(np.array([[0.2, 0.2], [0.8, 0.2], [0.5, 0.8]]))
    original, overlay = draw_case(scan, outline, np.zeros((64, 48), np.float32), 0.5)
    assert overlay is None
    assert original.size == (480, 640)
