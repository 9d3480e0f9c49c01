"""The migrations make the tables that the code expects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Table
from sqlmodel import SQLModel

from tumorlens.errors import ConfigError
from tumorlens.finding import FindingRecord
from tumorlens.study_record import StudyRecord
from tumorlens.web import tables
from tumorlens.web.database import Database
from tumorlens.web.settings import Settings
from tumorlens.web.tables import Case, Slice


def test_migrations_end_in_the_tables_of_the_code(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    settings.prepare()
    database = Database(settings.database_url)
    database.migrate()
    database.migrate()  # and there is nothing more to do
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []
    database.close()


def test_a_database_of_a_later_version_is_not_touched(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    settings.prepare()
    database = Database(settings.database_url)
    database.migrate()
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="later version"):
        database.migrate()
    database.close()


def _upgrade(database: Database, revision: str) -> None:
    """Brings an empty database to the shape of an earlier version."""
    config = Config()
    config.set_main_option("script_location", str(Path(tables.__file__).parent / "migrations"))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _insert(connection: Connection, row: SQLModel) -> None:
    """Inserts a row into a table as it is there: columns that came later are left out."""
    table = Table(str(row.__tablename__), MetaData(), autoload_with=connection)
    connection.execute(table.insert().values({k: v for k, v in row.model_dump().items() if k in table.columns}))


def test_findings_of_schema_1_become_those_of_schema_2(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings()
    settings.prepare()
    database = Database(settings.database_url)
    _upgrade(database, "0001")
    finding = {
        "source": "a.png",
        "frame": 0,
        "label": "glioma",
        "probabilities": {"glioma": 0.55, "no_tumor": 0.45},
        "region": {"box": [0, 0, 1, 1], "contour": [[0, 0]], "area": 1},
        "heatmap": None,
        "overlay": None,
        "explained": "glioma",
        "method": "attention",
        "prediction_set": ["glioma"],
    }
    known = {**finding, "unknown": {"score": 0.5, "unknown": False, "reason": ""}}
    known["warnings"] = ["close call: glioma 0.55, no tumour 0.45", "a colour picture"]
    strange = {**finding, "unknown": {"score": 2.0, "unknown": True, "reason": "too dark"}, "warnings": ["too dark"]}
    study = {"label": "glioma", "probabilities": {"glioma": 0.55, "no_tumor": 0.45}, "key_slices": [1], "slices": 1}
    with database.engine.begin() as connection:
        for name, old in (("known", known), ("strange", strange)):
            unknown = name == "strange"
            whole = {**study, "counts": {}, "unknown": int(unknown)}
            row = Case(id=name, title=name, owner="", label="glioma", confidence=0.55, unknown=unknown, study=whole)
            _insert(connection, row)
            content = {"finding": old, "regions": {"glioma": finding["region"], "no_tumor": None}, "evidence": {}}
            _insert(connection, Slice(case_id=name, number=1, content=content))
    database.migrate()
    with database.session() as session:
        contents = {name: session.get_one(Slice, (name, 1)).content for name in ("known", "strange")}
        cases = {name: session.get_one(Case, name) for name in ("known", "strange")}
    database.close()
    first, second = (FindingRecord.model_validate(contents[name]["finding"]) for name in ("known", "strange"))
    assert (first.label, first.confidence, first.close_call, first.unknown) == ("glioma", 0.55, True, False)
    assert first.warnings == ("a colour picture",)
    assert contents["known"]["regions"].keys() == {"glioma"}
    assert (second.label, second.probabilities, second.prediction_set, second.region) == (None, {}, (), None)
    assert (second.unknown, second.strangeness, second.reason, second.warnings) == (True, 2.0, "too dark", ())
    assert contents["strange"]["regions"] == {}
    studies = {
        name: StudyRecord.model_validate({**(case.study or {}), "source": "", "key_slices": []})
        for name, case in cases.items()
    }
    assert studies["known"].label == cases["known"].label == "glioma"
    assert (studies["known"].answer, studies["known"].text) == ("uncertain", "glioma, 55%")
    assert studies["strange"].unknown
    assert (cases["strange"].label, cases["strange"].confidence, cases["strange"].uncertainty) == ("", 0, 1)
