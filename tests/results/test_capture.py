from __future__ import annotations

import numpy as np

from tumorlens.classifier import Classifier
from tumorlens.results.make import make_results
from tumorlens.results.slices import AnalysedStudy


def test_pictures_warn_in_the_picture_and_in_the_header(tumour: AnalysedStudy, bright: Classifier) -> None:
    capture = make_results(tumour, bright.card)[0]
    banner = capture.pixel_array[:40].reshape(-1, 3).astype(int)

    assert capture.BurnedInAnnotation == "YES"
    assert "RESEARCH USE ONLY" in capture.ImageComments
    assert (banner[:, 0] > banner[:, 2] + 100).sum() > 200  # yellow letters
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == tumour.pictured[0].header.uid


def test_pictures_show_the_lesion_hot_where_it_is(tumour: AnalysedStudy, bright: Classifier) -> None:
    capture, source = make_results(tumour, bright.card)[1], tumour.pictured[1]
    assert source.finding.region is not None
    picture = capture.pixel_array.astype(int)
    x0, y0, x1, y1 = source.finding.region.box
    scale = 640 / source.shape[0]
    width = np.flatnonzero((picture[60:600] > 30).any((0, 2)))  # the scan, as the picture has it
    left = width[0]
    middle = picture[round(42 + (y0 + y1) / 2 * scale), round(left + (x0 + x1) / 2 * scale)]

    assert middle[0] > 200
    assert middle[0] > middle[2]  # inferno is hot at its peak; a grey lesion would have equal channels
