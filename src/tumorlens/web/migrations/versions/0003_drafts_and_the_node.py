"""Drafts of assessments; cases that a node handed over, and assessments that go back to it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the tables, and where a case came from."""
    op.add_column("cases", sa.Column("origin", sa.String(), nullable=False, server_default=""))
    op.create_index("ix_cases_origin", "cases", ["origin"])
    op.create_table(
        "drafts",
        sa.Column("case_id", sa.String(), sa.ForeignKey("cases.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("slice", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("reader", sa.String(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("touched", sa.Float(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=True),
    )
    op.create_table(
        "sendings",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("case_id", sa.String(), sa.ForeignKey("cases.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("reader", sa.String(), nullable=False),
        sa.Column("sent", sa.Float(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("slices", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False, index=True),
        sa.Column("note", sa.Text(), nullable=False),
    )
