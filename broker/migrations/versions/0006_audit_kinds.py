"""What an audit record is about, so that reads can be left out, and hourly counts.

The index by account goes by kind as well: a record still costs as many entries.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

_KIND_OF_OLDER_RECORDS = """
UPDATE audit SET kind = CASE
  WHEN action IN ('sts:AssumeRoleWithSAML', 'sts:AssumeRoleWithWebIdentity')
    THEN 'sign-in'
  WHEN action = 'signin:ConsoleLogin' THEN CASE
    WHEN minted_key_id <> '' AND provider_arn <> '' THEN 'credentials'
    ELSE 'sign-in' END
  WHEN action IN (
    'signin:ListRolesWithSAML', 'signin:ListRolesWithWebIdentity',
    'signin:CheckPassword', 'signin:CheckMfa', 'broker:CountFailures'
  ) THEN CASE WHEN decision = 'allowed' THEN 'read' ELSE 'sign-in' END
  WHEN action IN (
    'sts:AssumeRole', 'sts:AssumeRoot', 'sts:GetSessionToken',
    'sts:GetFederationToken', 'sts:GetScopedCredentials',
    'sts:GetDelegatedAccessToken', 'sts:GetWebIdentityToken',
    'signin:AuthorizeOAuth2Access', 'signin:CreateConsoleLink',
    'signin:CreateOAuth2Token', 'signin:GetConsoleCredentials',
    'signin:GetSigninToken'
  ) THEN 'credentials'
  WHEN action = 'signin:CreatePasskeyOptions'
    OR action LIKE '%\\:Get%' OR action LIKE '%\\:List%' OR action LIKE '%\\:Simulate%'
    OR action LIKE '%\\:Lookup%' OR action LIKE '%\\:Decode%'
    OR action LIKE '%\\:Generate%' OR action LIKE '%\\:Check%'
    OR action LIKE '%\\:Diagnose%'
  THEN 'read'
  ELSE 'change' END
"""
_REPLACED = ("audit_account", "audit_access_key_id")


def upgrade() -> None:
    """Add the column, sort older records, and make the indexes and the counts."""
    for name in _REPLACED:
        op.drop_index(name, "audit")
    op.add_column(
        "audit", sa.Column("kind", _KEY, server_default="change", nullable=False)
    )
    op.execute(_KIND_OF_OLDER_RECORDS)
    op.create_index("audit_kind", "audit", ["account", "kind", "at", "seq"])
    failed, keyed = sa.text("decision <> 'allowed'"), sa.text("access_key_id != ''")
    op.create_index(
        "audit_failures",
        "audit",
        ["account", "decision", "at", "seq"],
        sqlite_where=failed,
        postgresql_where=failed,
    )
    op.create_index(
        "audit_access_key_id",
        "audit",
        ["access_key_id", "at", "seq"],
        sqlite_where=keyed,
        postgresql_where=keyed,
    )
    op.create_table(
        "audit_counts",
        sa.Column("account", _KEY, nullable=False),
        sa.Column("hour", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("measure", _KEY, nullable=False),
        sa.Column("name", _KEY, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "hour", "measure", "name"),
        sqlite_with_rowid=False,
    )
