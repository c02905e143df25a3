"""Providers are asked by refresh token whether people are still there."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables of sign-ins that are watched, and of who asks about them."""
    op.create_table(
        "oidc_sign_ins",
        sa.Column("sign_in_id", _KEY, nullable=False),
        sa.Column("account", _KEY, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("provider_id", _KEY, nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("subject", _KEY, nullable=False),
        sa.Column("access_key_id", _KEY, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("claimed_until", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("doubts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sign_in_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("oidc_sign_ins_due", "oidc_sign_ins", ["due_at"])
    op.create_index("oidc_sign_ins_person", "oidc_sign_ins", ["provider_id", "subject"])
    op.create_table(
        "oidc_watches",
        sa.Column("provider_id", _KEY, nullable=False),
        sa.Column("leased_until", sa.BigInteger(), nullable=False),
        sa.Column("failing_since", sa.BigInteger(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("provider_id"),
    )
