"""Segmentation and Parametric Map: region and heat, frame by frame on the sources' own grid."""

from __future__ import annotations

import itertools

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence, VOILUTTransformation
from highdicom.pm import ParametricMap, RealWorldValueMapping
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom import Dataset

from tumorlens.evidence import Region
from tumorlens.results.codes import code_of, term, to_dicom
from tumorlens.results.objects import MANUFACTURER, Maker, divide, reference, restore_references
from tumorlens.results.slices import AnalysedSlice


def make_segmentations(maker: Maker) -> list[Dataset]:
    """Segmentation objects (PS3.3 A.51), BINARY: where the evidence is strongest, one object per stack of slices.

    A slice has a frame if it has a region and a usable geometry.
    """
    if (tumour := maker.analysed.tumour) is None:
        return []
    made = []
    with_region = [s for s in maker.analysed.shown if s.finding.region is not None]
    algorithm = AlgorithmIdentificationSequence(
        name=maker.algorithm, family=term("artificial_intelligence"), version=maker.version, source=MANUFACTURER
    )
    for number, stack in enumerate(divide(with_region), 1):
        segment = SegmentDescription(
            segment_number=1,
            segment_label=f"AI evidence: {tumour.name}"[:64],
            segmented_property_category=term("spatial"),
            segmented_property_type=term("evidence"),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            tracking_uid=maker.uid("tracking", "region", number),
            tracking_id=f"AI evidence {number}",
            anatomic_regions=[to_dicom(maker.sought.site)],
        )
        segment.SegmentDescription = f"Strongest evidence for {tumour.name}; no outline of it"
        result = Segmentation(
            source_images=[reference(maker, s) for s in stack],
            pixel_array=np.stack([inside(s.finding.region, s.shape) for s in stack if s.finding.region]),
            segmentation_type="BINARY",
            segment_descriptions=[segment],
            content_label="AI_EVIDENCE",
            content_description="Region of strongest evidence, no outline",
            omit_empty_frames=False,
            **maker.arguments("region", number),
        )
        made.append(_own(maker, result, stack, "region", number))
    return made


def make_parametric_maps(maker: Maker) -> list[Dataset]:
    """Parametric Map objects (PS3.3 A.75): the heat itself, float32 in [0, 1], one object per stack of slices."""
    if (tumour := maker.analysed.tumour) is None:
        return []
    made = []
    mapping = RealWorldValueMapping(
        lut_label="SALIENCY",
        lut_explanation=f"Evidence for {tumour.name}, 1 at its peak"[:64],
        unit=term("unitless"),
        value_range=(0.0, 1.0),
        slope=1.0,
        intercept=0.0,
        quantity_definition=term("saliency"),
    )
    for number, stack in enumerate(divide(maker.analysed.shown), 1):
        result = ParametricMap(
            source_images=[reference(maker, s) for s in stack],
            pixel_array=np.stack([s.finding.heatmap for s in stack if s.finding.heatmap is not None]),
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[VOILUTTransformation(0.5, 1.0, voi_lut_function="LINEAR_EXACT")],
            content_label="AI_HEAT",
            content_description=f"Heat map: evidence for {to_dicom(code_of(tumour)).meaning}"[:64],
            **maker.arguments("heat", number),
        )
        made.append(_own(maker, result, stack, "heat", number))
    return made


def _own(maker: Maker, result: Dataset, stack: list[AnalysedSlice], kind: str, number: int) -> Dataset:
    """Refers to the real sources, and replaces the one UID that highdicom draws at random."""
    restore_references(maker, result, stack)
    organization = maker.uid("dimensions", kind, number)
    result.DimensionOrganizationSequence[0].DimensionOrganizationUID = organization
    for dimension in result.DimensionIndexSequence:
        dimension.DimensionOrganizationUID = organization
    return maker.finished(result)


def inside(region: Region, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels whose centres lie inside a region's contour: (H, W) bool, at least one of them true."""
    x0, y0, x1, y1 = region.box
    rows, columns = np.arange(y0, y1) + 0.5, np.arange(x0, x1) + 0.5
    mask = np.zeros(shape, bool)
    part = mask[y0:y1, x0:x1]
    for (xa, ya), (xb, yb) in itertools.pairwise((*region.contour, region.contour[0])):
        # The even-odd rule: an edge that crosses a row turns what lies to its right inside out.
        crossed = (ya <= rows) != (yb <= rows)
        part[crossed] ^= columns > (xa + (rows[crossed] - ya) / (yb - ya or 1) * (xb - xa))[:, None]
    if not part.any():  # a region of a pixel or two, whose contour runs through their centres
        part[:] = True
    return mask
