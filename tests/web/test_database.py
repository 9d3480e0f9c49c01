"""The migrations make the tables that the code expects."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from tumorlens.errors import ConfigError
from tumorlens.web import tables  # noqa: F401 - registers them
from tumorlens.web.database import Database
from tumorlens.web.settings import Settings


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
