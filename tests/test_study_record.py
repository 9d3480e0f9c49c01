"""The finding of a study in JSON."""

from tumorlens.classes import BRAIN_TUMORS
from tumorlens.finding import Finding, FindingsDocument, WeightsId
from tumorlens.place import SlicePlace
from tumorlens.study import SliceFinding, find_in_study
from tumorlens.study_record import StudyRecord

WEIGHTS = WeightsId(name="tiny", sha256="ab" * 32)


def test_a_record_has_the_promised_fields_and_survives_json() -> None:
    probabilities = dict.fromkeys(BRAIN_TUMORS.keys, 0.02) | {"glioma": 0.94}
    finding = Finding("study/a.dcm", 0, "glioma", probabilities, WEIGHTS)
    record = find_in_study([SliceFinding(finding, SlicePlace(study="s"))], BRAIN_TUMORS).record("name")

    promised = {"source", "label", "probabilities", "uncertain", "key_slices", "series"}
    assert promised < record.model_dump().keys()
    assert StudyRecord.model_validate_json(record.model_dump_json()) == record
    document = FindingsDocument.of(WEIGHTS, [finding.record()], [], [record])
    assert FindingsDocument.model_validate_json(document.to_json()).studies == (record,)
    assert (record.source, record.key_slices[0].source) == ("name", "study/a.dcm")
