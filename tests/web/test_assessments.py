"""Drafts by themselves: one row a reader and slice, whose version counts every change."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.conftest import Page
from tumorlens.errors import ChangedMeanwhile
from tumorlens.web.assessments import Assessments
from tumorlens.web.tables import Case, Feedback


@pytest.fixture
def kept(page: Page) -> Assessments:
    with page.parts.store.database.session() as session:
        session.add(Case(id="one", title="a", owner="jane"))
    kept: Assessments = page.parts.assessments
    return kept


def test_each_change_counts_on_and_an_old_version_is_refused(kept: Assessments) -> None:
    assert kept.keep("one", 1, "jane", {"comment": "a"}, 0).version == 1
    with pytest.raises(ChangedMeanwhile) as late:
        kept.keep("one", 1, "jane", {"comment": "b"}, 0)
    assert late.value.version == 1
    assert kept.keep("one", 1, "jane", None, 1).version == 2
    feedback: dict[str, Any] = {"case_id": "one", "slice": 1, "reader": "jane", "verdict": "unsure", "label": ""}
    with pytest.raises(ChangedMeanwhile):
        kept.save(Feedback(**feedback), 0)
    kept.save(Feedback(**feedback), 2)
    kept.save(Feedback(**feedback | {"verdict": "agree"}))  # a program says no version
    standing = kept.standing("one", "jane")
    assert standing.assessed == {1: {"jane": "agree"}}
    assert [(d.slice, d.version, d.content) for d in standing.drafts] == [(1, 4, None)]


def test_what_was_refused_is_not_there(kept: Assessments) -> None:
    with pytest.raises(ChangedMeanwhile):
        kept.keep("one", 1, "jane", {"comment": "b"}, 7)
    assert kept.standing("one", "jane").drafts == []
