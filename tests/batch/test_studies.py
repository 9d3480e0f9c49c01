"""Findings of studies among very many slices."""

from tests.studies import BrightEngine
from tumorlens.batch.studies import StudySpool
from tumorlens.classes import BRAIN_TUMORS

CARD = BrightEngine().card


def finding(label: str, source: str) -> dict[str, object]:
    p = dict.fromkeys(BRAIN_TUMORS.keys, 0.02) | {label: 0.94}
    return {"source": source, "frame": 0, "label": label, "probabilities": p, "unknown": False, "warnings": ["…"]}


def place(study: str, number: int) -> dict[str, object]:
    return {"study": study, "series": study, "number": [number, 0]}


def test_studies_that_come_mixed_are_told_apart_and_pictures_left_out() -> None:
    with StudySpool(CARD) as spool:
        for i in range(5):
            spool.add(finding("glioma", f"a/{i}.dcm"), place("a", i))
            spool.add(finding("no_tumor", f"b/{i}.dcm"), place("b", i))
            spool.add(finding("pituitary", f"{i}.png"), None)
        records = list(spool.records())

    assert [(r.source, r.label, r.slices) for r in records] == [("a", "glioma", 5), ("b", "no_tumor", 5)]


def test_names_that_are_no_text_are_kept() -> None:
    with StudySpool(CARD) as spool:
        spool.add(finding("glioma", "a\udcff.dcm"), place("a", 0))
        (record,) = spool.records()

    assert record.source == "a\udcff.dcm"
