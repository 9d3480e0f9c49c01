"""A case may be linked to an earlier one of the same person; of a failed one it is known whether a retry may help."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds the columns. Of cases that failed before, nobody knows: they may be tried again."""
    op.add_column("cases", sa.Column("linked", sa.String(), nullable=False, server_default=""))
    op.add_column("cases", sa.Column("retry", sa.Boolean(), nullable=False, server_default=sa.true()))
