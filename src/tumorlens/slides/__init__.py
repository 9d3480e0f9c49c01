"""Whole slides: tissue first, then tile by tile, in flat memory; a map of the slide comes out.

from tumorlens.slides import map_slide

summary = map_slide("slide.svs", Classifier.load("runs/tiles"), Path("out"))  # a picture, a table, GeoJSON
"""

from tumorlens.slides.mapping import SlideSummary, map_slide
from tumorlens.slides.slide import Slide

__all__ = ["Slide", "SlideSummary", "map_slide"]
