"""Finds old access keys, and credentials that end, without reading all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the indexes."""
    for name, table, columns, of in (
        (
            "access_keys_age",
            "access_keys",
            ["account", "created_at"],
            "status = 'Active'",
        ),
        (
            "user_credentials_end",
            "user_credentials",
            ["account", "expires_at"],
            "expires_at IS NOT NULL",
        ),
    ):
        where = sa.text(of)
        op.create_index(
            name, table, columns, sqlite_where=where, postgresql_where=where
        )
