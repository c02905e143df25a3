"""Sessions of the embedded cache are listed as they were minted.

An index in the order of their random ids cost every mint a page of its own.
"""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the index anew."""
    op.drop_index("cache_sessions_account", "cache_sessions")
    op.create_index("cache_sessions_account", "cache_sessions", ["account"])
