"""Records when session tokens began to carry lineage, so that older ones can be told.

Tokens of the version before are honoured until they expire.
"""

import json
import time

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_INSTALLATION = sa.table(
    "installation", sa.column("id", sa.Integer), sa.column("marks", sa.Text)
)


def upgrade() -> None:
    """Leave a mark where sessions may be: an empty database has none."""
    connection = op.get_bind()
    row = connection.execute(sa.select(_INSTALLATION.c.marks)).first()
    if row is None:
        return
    marks = {**json.loads(row.marks), "lineage_since": int(time.time())}
    connection.execute(sa.update(_INSTALLATION).values(marks=json.dumps(marks)))
