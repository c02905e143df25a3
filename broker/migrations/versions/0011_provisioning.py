"""People and groups that directories provision by SCIM, and their tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def _keys(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, _KEY, nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def upgrade() -> None:
    """Create their tables."""
    op.create_table(
        "provisioned_users",
        *_keys("account", "provider_id", "user_id"),
        sa.Column("user_name", sa.Text(), nullable=False),
        *_keys("name_key", "external_id", "email"),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        *_numbers("version", "created_at", "updated_at"),
        sa.Column("not_before", sa.BigInteger(), nullable=True),
        sa.Column("departed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("user_id"),
    )
    living = sa.text("departed_at IS NULL")
    op.create_index(
        "provisioned_users_name",
        "provisioned_users",
        ["account", "provider_id", "name_key"],
        unique=True,
        sqlite_where=living,
        postgresql_where=living,
    )
    for name, column in (
        ("provisioned_users_by_name", "name_key"),
        ("provisioned_users_external", "external_id"),
        ("provisioned_users_email", "email"),
        ("provisioned_users_departed", "departed_at"),
    ):
        op.create_index(name, "provisioned_users", ["account", "provider_id", column])
    op.create_table(
        "provisioned_groups",
        *_keys("account", "provider_id", "group_id"),
        sa.Column("name", sa.Text(), nullable=False),
        *_keys("name_key", "external_id"),
        *_numbers("version", "created_at", "updated_at"),
        sa.PrimaryKeyConstraint("group_id"),
        sa.UniqueConstraint(
            "account", "provider_id", "name_key", name="provisioned_groups_name"
        ),
    )
    op.create_table(
        "provisioned_members",
        *_keys("account", "group_id", "user_id"),
        sa.PrimaryKeyConstraint("group_id", "user_id"),
    )
    op.create_index("provisioned_members_user", "provisioned_members", ["user_id"])
    op.create_table(
        "scim_tokens",
        *_keys("account", "token_id", "provider_id"),
        sa.Column("provider_arn", sa.Text(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        *_numbers("created_at", "expires_at"),
        sa.Column("addresses", sa.Text(), nullable=False, server_default="[]"),
        sa.PrimaryKeyConstraint("account", "token_id"),
    )
