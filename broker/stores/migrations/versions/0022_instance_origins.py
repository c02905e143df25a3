"""Machines carry what they come from, and are found by it."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_MICROSECONDS = 1000


def upgrade() -> None:
    """Add both; machines that a provider admitted come from it, and from its person."""
    column = sa.Column("lineage", sa.Text(), nullable=False, server_default="[]")
    op.add_column("instances", column)
    keys = ("account", "instance_id", "of_account", "label")
    op.create_table(
        "instance_origins",
        *(sa.Column(name, _KEY, nullable=False) for name in keys),
        sa.Column("since_ms", sa.BigInteger(), nullable=False),
        sa.Column("until_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*keys),
    )
    op.create_index(
        "instance_origins_label", "instance_origins", ["of_account", "label"]
    )
    _fill()


def _fill() -> None:
    names = (
        *("account", "instance_id", "registered_at", "registered_by"),
        *("provider_id", "subject", "lineage"),
    )
    instances = sa.table("instances", *map(sa.column, names))
    origins = sa.table(
        "instance_origins",
        *map(
            sa.column,
            ("account", "instance_id", "of_account", "label", "since_ms", "until_ms"),
        ),
    )
    connection = op.get_bind()
    admitted = sa.select(instances).where(instances.c.provider_id != "")
    for row in connection.execute(admitted).all():
        at_ms = row.registered_at // _MICROSECONDS
        vouched = (*row.subject.split(), row.provider_id, row.registered_by)
        targets = list(dict.fromkeys(vouched))
        lineage = [row.account, 0, 0, 0, at_ms, 0, 0, [], [], 0, targets]
        connection.execute(
            sa.update(instances)
            .where(
                instances.c.account == row.account,
                instances.c.instance_id == row.instance_id,
            )
            .values(lineage=json.dumps(lineage, separators=(",", ":")))
        )
        for label in (*targets, row.account):
            connection.execute(
                sa.insert(origins).values(
                    account=row.account,
                    instance_id=row.instance_id,
                    of_account=row.account,
                    label=label,
                    since_ms=at_ms,
                    until_ms=at_ms,
                )
            )
