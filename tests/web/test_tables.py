"""What the rows of the database hold by themselves."""

import pytest
from sqlalchemy.exc import IntegrityError

from tests.web.conftest import Page
from tumorlens.web.tables import UPLOADING, Case, Slice, Upload, new_id


def test_a_case_begins_empty_under_an_identifier_of_its_own() -> None:
    one, other = Case(title="a", owner="jane"), Case(title="a", owner="jane")
    assert len({one.id, other.id, new_id()}) == 3
    assert (one.status, one.files, one.slices, one.label, one.study) == (UPLOADING, 0, 0, "", None)
    assert one.created <= other.created


def test_the_rows_of_a_case_go_with_it(page: Page) -> None:
    database = page.parts.store.database
    case = Case(title="a", owner="jane")
    with database.session() as session:
        session.add(case)
        session.flush()
        session.add(Upload(case_id=case.id, number=1, name="a.png", size=3, sha256="0" * 64))
        session.add(Slice(case_id=case.id, number=1, content={}))
        session.commit()
        session.delete(session.get(Case, case.id))
        session.commit()
        assert session.get(Upload, (case.id, 1)) is None
        assert session.get(Slice, (case.id, 1)) is None


def test_a_row_of_no_case_is_refused(page: Page) -> None:
    with page.parts.store.database.session() as session:
        session.add(Upload(case_id="nowhere", number=1, name="a.png", size=3, sha256="0" * 64))
        with pytest.raises(IntegrityError):
            session.commit()
        session.rollback()
