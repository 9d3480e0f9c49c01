"""The database: SQLite in the home folder, or PostgreSQL. One `Database` a process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, create_engine
from sqlmodel.sql.expression import SelectOfScalar

from tumorlens.errors import ConfigError, MissingExtra

Row = TypeVar("Row")


class Database:
    """A connection pool, by a URL as SQLAlchemy takes it, and the migrations.

    Raises:
        ConfigError: If there is no such database.
        MissingExtra: If it is PostgreSQL, and its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.is_sqlite = url.startswith("sqlite")
        options: dict[str, Any] = {"check_same_thread": False, "timeout": 30} if self.is_sqlite else {}
        try:
            ping = not self.is_sqlite
            self.engine = create_engine(url, connect_args=options, pool_pre_ping=ping, hide_parameters=True)
        except ModuleNotFoundError as error:
            raise MissingExtra("PostgreSQL", "postgres") from error
        except (SQLAlchemyError, ValueError) as error:
            remedy = "give postgresql://USER:PASSWORD@HOST/NAME"
            raise ConfigError(f"--database: is no URL of a database; {remedy}") from error
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
        self.writing = threading.Lock()

    def migrate(self) -> None:
        """Brings the tables to this version's shape; ConfigError if it cannot be reached, or is of a later version."""
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        try:
            with self.engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except CommandError as error:
            raise ConfigError("the database is of a later version of TumorLens; install that version") from error
        except Exception as error:
            if not isinstance(error, SQLAlchemyError | OSError) and "pg8000" not in type(error).__module__:
                raise
            raise ConfigError("the database cannot be reached; check --database, and that its server runs") from error

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session whose changes are committed at its end, or not at all."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def alone(self) -> Iterator[Session]:
        """A session that no other writes beside, for what reads and then writes by it."""
        with self.writing, self.session() as session:
            yield session

    def all(self, query: SelectOfScalar[Row]) -> list[Row]:
        """All rows that a query finds."""
        with self.session() as session:
            return list(session.exec(query))

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
