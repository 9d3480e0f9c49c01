from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pydicom

from tests.results.conftest import WHEN, written
from tumorlens.classifier import Classifier
from tumorlens.results.analysis import analyse
from tumorlens.results.make import make_results
from tumorlens.results.slices import AnalysedStudy


def test_every_result_says_that_it_is_research(tumour: AnalysedStudy, bright: Classifier) -> None:
    results = make_results(tumour, bright.card)

    assert all(r.SeriesDescription.startswith("AI - research use only") for r in results)
    assert all(r.ContentQualification == "RESEARCH" for r in results)
    assert (results[-1].PreliminaryFlag, results[-1].VerificationFlag) == ("PRELIMINARY", "UNVERIFIED")
    assert results[-1].CompletionFlag == "COMPLETE"


def test_every_result_names_its_algorithm(tumour: AnalysedStudy, bright: Classifier) -> None:
    for result in make_results(tumour, bright.card):
        equipment, *_ = result.ContributingEquipmentSequence
        assert equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
        assert equipment.ManufacturerModelName == "TumorLens bright"
        assert "abababababab" in equipment.SoftwareVersions
        assert equipment.DeviceUID


def test_made_again_they_are_the_same_to_the_last_byte(
    make_study: Callable[..., Path], tumour: AnalysedStudy, bright: Classifier
) -> None:
    again = analyse(make_study(), bright, WHEN)
    first, second = make_results(tumour, bright.card), make_results(again, bright.card)

    assert [written(r) for r in first] == [written(r) for r in second]


def test_at_another_time_they_have_the_same_uids(tumour: AnalysedStudy, bright: Classifier) -> None:
    (file,) = {Path(s.path).parent for s in tumour.slices}
    later = analyse(file, bright)

    assert [r.SOPInstanceUID for r in make_results(later, bright.card)] == [
        r.SOPInstanceUID for r in make_results(tumour, bright.card)
    ]


def test_with_other_weights_or_slices_they_are_others(tumour: AnalysedStudy, bright: Classifier) -> None:
    first = {r.SOPInstanceUID for r in make_results(tumour, bright.card)}
    retrained = bright.card.model_copy(update={"sha256": "cd" * 32})
    fewer = analyse([s.path for s in tumour.slices[1:]], bright, WHEN)

    assert first.isdisjoint(r.SOPInstanceUID for r in make_results(tumour, retrained))
    assert first.isdisjoint(r.SOPInstanceUID for r in make_results(fewer, bright.card))


def test_uids_are_unique_and_valid(tumour: AnalysedStudy, bright: Classifier) -> None:
    results = make_results(tumour, bright.card)
    uids = [r.SOPInstanceUID for r in results]

    assert len(set(uids)) == len(uids)
    assert all(pydicom.uid.UID(u).is_valid for u in uids)
