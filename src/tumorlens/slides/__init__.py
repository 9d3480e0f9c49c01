"""Whole slides: tissue first, then tile by tile, in flat memory; a map of the slide comes out.

from tumorlens.slides import map_slide

found = map_slide("slide.svs", Classifier.load("runs/tiles"), Path("out"))  # a picture, a table, GeoJSON
found.summary
"""

from tumorlens.slides.mapping import SlideMap, SlideSummary, map_slide
from tumorlens.slides.slide import Slide, is_slide

__all__ = ["Slide", "SlideMap", "SlideSummary", "is_slide", "map_slide"]
