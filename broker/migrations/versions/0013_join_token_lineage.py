"""What a join token came from, so that it ends with it."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the lineage; tokens that are there know none."""
    op.add_column(
        "join_tokens",
        sa.Column("lineage", sa.Text(), nullable=False, server_default="[]"),
    )
