"""The first tables. The audit log takes new lines and gives none up."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SQLITE = """
CREATE TRIGGER events_{what} BEFORE {what} ON events
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END
"""
_POSTGRES = (
    """
CREATE FUNCTION events_are_kept() RETURNS trigger AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$ LANGUAGE plpgsql
""",
    """
CREATE TRIGGER events_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION events_are_kept()
""",
)


def upgrade() -> None:
    """Creates the tables, their indices and the audit log's triggers."""
    op.create_table(
        "accounts",
        _column("name", primary_key=True),
        *_columns(sa.String, "password", "role"),
        _column("created", sa.Float),
        _column("disabled", sa.Boolean),
    )
    op.create_table(
        "cases",
        _column("id", primary_key=True),
        *_columns(sa.String, "title", "owner", "axis", "weights_name", "weights_sha256", "version"),
        *_columns(sa.String, "status", "label", index=True),
        *_columns(sa.Float, "created", "uncertainty", index=True),
        *_columns(sa.Float, "touched", "confidence"),
        *_columns(sa.Integer, "attempts", "files", "size", "slices", "total"),
        _column("error", sa.Text),
        _column("unknown", sa.Boolean),
        sa.Column("study", sa.JSON(), nullable=True),
    )
    op.create_table(
        "events",
        _column("id", sa.Integer, primary_key=True),
        _column("at", sa.Float),
        *_columns(sa.String, "who", "action", "case_id", "previous", "digest"),
        _column("detail", sa.Text),
    )
    op.create_table(
        "failed_files",
        _column("id", sa.Integer, primary_key=True),
        _column("case_id", sa.String, _of("cases.id"), index=True),
        _column("name"),
        _column("error", sa.Text),
    )
    op.create_table(
        "feedback",
        _column("id", sa.Integer, primary_key=True),
        _column("case_id", sa.String, _of("cases.id"), index=True),
        _column("slice", sa.Integer),
        _column("said", sa.Float),
        *_columns(sa.String, "reader", "verdict", "label"),
        *_columns(sa.Text, "comment", "outline"),
    )
    op.create_table(
        "slices",
        _column("case_id", sa.String, _of("cases.id"), primary_key=True),
        _column("number", sa.Integer, primary_key=True, autoincrement=False),
        _column("series", sa.Integer),
        _column("content", sa.JSON),
    )
    op.create_table(
        "tokens",
        _column("key", primary_key=True),
        _column("id", index=True, unique=True),
        _column("account", sa.String, _of("accounts.name")),
        _column("purpose"),
        *_columns(sa.Float, "created", "expires"),
    )
    op.create_table(
        "uploads",
        _column("case_id", sa.String, _of("cases.id"), primary_key=True),
        _column("number", sa.Integer, primary_key=True, autoincrement=False),
        _column("name"),
        _column("size", sa.Integer),
        _column("sha256", index=True),
    )
    op.create_table(
        "visits",
        _column("key", primary_key=True),
        _column("account", sa.String, _of("accounts.name")),
        _column("expires", sa.Float),
    )
    if op.get_bind().dialect.name == "sqlite":
        for what in ("UPDATE", "DELETE"):
            op.execute(_SQLITE.format(what=what))
    else:
        for statement in _POSTGRES:
            op.execute(statement)


def _column(name: str, kind: Any = sa.String, *constraints: sa.ForeignKey, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, kind(), *constraints, nullable=False, **options)


def _columns(kind: Any, *names: str, **options: Any) -> list[sa.Column[Any]]:
    return [_column(name, kind, **options) for name in names]


def _of(key: str) -> sa.ForeignKey:
    return sa.ForeignKey(key, ondelete="CASCADE")
