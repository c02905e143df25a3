"""People of directories are kept with the roles of their groups, which may go."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Add the roles; who signed in before has none until the next proof."""
    column = sa.Column("roles", sa.Text(), nullable=False, server_default="[]")
    op.add_column("ldap_sign_ins", column)
