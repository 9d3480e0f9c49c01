"""Grayscale Softcopy Presentation State: the region's contour as a viewer draws it over the source image."""

from __future__ import annotations

import numpy as np
from highdicom.content import ModalityLUTTransformation, PresentationLUTTransformation
from highdicom.pr import (
    GraphicAnnotation,
    GraphicLayer,
    GraphicObject,
    GrayscaleSoftcopyPresentationState,
    TextObject,
)
from pydicom import Dataset

from tumorlens.results.codes import term
from tumorlens.results.objects import Maker, decimals, reference, restore_references
from tumorlens.results.slices import AnalysedSlice

_LAYER = "AI_EVIDENCE"


def make_presentation_states(maker: Maker) -> list[Dataset]:
    """Presentation states (PS3.3 A.33.1) with a contour on each slice that has a region.

    One object holds for slices of one series, size and spacing whose stored values mean the same. Colour pictures have
    none: this kind of object is for grey ones.
    """
    made = []
    for number, group in enumerate(_groups(maker), 1):
        first, sources = group[0], [reference(maker, s) for s in group]
        for source, s in zip(sources, group, strict=True):
            if s.window is not None:
                source.WindowCenter, source.WindowWidth = s.window
        values = None
        if first.rescale is not None:
            slope, intercept = first.rescale
            values = ModalityLUTTransformation(
                rescale_slope=slope,
                rescale_intercept=intercept,
                rescale_type="HU" if first.header.modality == "CT" else "US",
            )
        shape = "INVERSE" if first.header.photometric == "MONOCHROME1" else "IDENTITY"
        result = GrayscaleSoftcopyPresentationState(
            referenced_images=sources,
            content_label=_LAYER,
            content_description="Contour of the evidence, no outline",
            concept_name=term("contour"),
            graphic_layers=[GraphicLayer(_LAYER, order=1, description="AI, research use only")],
            graphic_annotations=[_annotation(source, s) for source, s in zip(sources, group, strict=True)],
            modality_lut_transformation=values,
            presentation_lut_transformation=PresentationLUTTransformation(presentation_lut_shape=shape),
            **maker.arguments("contour", number),
        )
        if first.geometry is not None:
            # highdicom says that all pixels are square.
            area = result.DisplayedAreaSelectionSequence[0]
            del area.PresentationPixelAspectRatio
            area.PresentationPixelSpacing = decimals(first.geometry.spacing)
        restore_references(maker, result, group)
        made.append(maker.finished(result))
    return made


def _groups(maker: Maker) -> list[list[AnalysedSlice]]:
    groups: dict[object, list[AnalysedSlice]] = {}
    for s in maker.analysed.shown:
        if s.finding.region is not None and s.header.photometric.startswith("MONOCHROME"):
            same = (s.header.series, s.shape, s.header.photometric, s.rescale, s.geometry and s.geometry.spacing)
            groups.setdefault(same, []).append(s)
    return list(groups.values())


def _annotation(source: Dataset, s: AnalysedSlice) -> GraphicAnnotation:
    assert s.finding.region is not None
    corners = np.asarray([*s.finding.region.contour, s.finding.region.contour[0]], float)
    x0, y0, _, y1 = s.finding.region.box
    rows, columns = s.shape
    # Below the region where there is room, else above it; wide enough for the words.
    top = y1 if y1 + 12 <= rows else max(0, y0 - 12)
    left = min(x0, max(0, columns - 80))
    box = (left, top, min(columns, left + 80), min(rows, top + 12))
    return GraphicAnnotation(
        referenced_images=[source],
        graphic_layer=GraphicLayer(_LAYER, order=1),
        # A contour counts as PIXEL does: from the corner of the first pixel, 0 to columns and rows.
        graphic_objects=[GraphicObject("POLYLINE", corners, units="PIXEL")],
        text_objects=[TextObject("AI evidence, research use only", units="PIXEL", bounding_box=box)],
    )
