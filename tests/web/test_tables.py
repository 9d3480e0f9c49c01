"""What the rows of the database hold by themselves."""

import pytest
from sqlalchemy.exc import DatabaseError

from tests.web.conftest import Page
from tumorlens.web.tables import UPLOADING, Case, Slice, Upload, new_id


def test_a_case_begins_empty_under_an_identifier_of_its_own() -> None:
    one, other = Case(title="a", owner="jane"), Case(title="a", owner="jane")
    assert len({one.id, other.id, new_id()}) == 3
    assert (one.status, one.files, one.slices, one.label, one.study) == (UPLOADING, 0, 0, "", None)
    assert one.created <= other.created


def test_the_rows_of_a_case_go_with_it(page: Page) -> None:
    database, case = page.parts.store.database, Case(id="0123", title="a", owner="jane")
    with database.session() as session:
        session.add(case)
    with database.session() as session:
        session.add(Upload(case_id="0123", number=1, name="a.png", size=3, sha256="0" * 64))
        session.add(Slice(case_id="0123", number=1, content={}))
    with database.session() as session:
        session.delete(session.get(Case, "0123"))
    with database.session() as session:
        assert session.get(Upload, ("0123", 1)) is None
        assert session.get(Slice, ("0123", 1)) is None


def test_a_row_of_no_case_is_refused(page: Page) -> None:
    with pytest.raises(DatabaseError, match=r"(?i)foreign key"), page.parts.store.database.session() as session:
        session.add(Upload(case_id="nowhere", number=1, name="a.png", size=3, sha256="0" * 64))
