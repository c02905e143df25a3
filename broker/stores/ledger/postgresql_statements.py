"""The ledger's statements for PostgreSQL: whole batches as arrays, one column each."""

from collections.abc import Sequence

from broker.stores.audit_rows import AUDIT_COLUMNS, AuditRow, MarkRow

_COLUMNS = ", ".join(AUDIT_COLUMNS)
_AT = AUDIT_COLUMNS.index("at")


RESERVE = (
    "INSERT INTO replay_marks (key, mint_id, expires_at) VALUES ($1, $2, $3)"
    " ON CONFLICT DO NOTHING RETURNING mint_id"
)
"""Set a mark and say whose it is; says nothing where it was set before."""

OWNER = "SELECT mint_id FROM replay_marks WHERE key = $1"
OWNERS = "SELECT key, mint_id FROM replay_marks WHERE key = ANY($1::bytea[])"

GIVE_BACK = """
DELETE FROM replay_marks USING unnest($1::bytea[], $2::text[]) AS unclear (mark, mint)
WHERE key = mark AND mint_id = mint RETURNING mint_id
"""

EVENTS = "SELECT event_id FROM audit WHERE event_id = ANY($1::text[])"
FIND = (
    "SELECT event_id, at, account, body FROM audit WHERE event_id = $1 "
    "ORDER BY seq DESC LIMIT 1"
)

# In portions, so that no transaction grows long.
PURGE_MARKS = (
    "DELETE FROM replay_marks WHERE key IN "
    "(SELECT key FROM replay_marks WHERE expires_at < $1 LIMIT $2)"
)

PURGE_AUDIT = (
    "DELETE FROM audit WHERE seq IN "
    "(SELECT seq FROM audit WHERE at < $1 ORDER BY at, seq LIMIT $2)"
)
WHO_AM_I = (
    "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
)

# The start is compared as well: numbers of processes come again.
TERMINATE = (
    "SELECT pg_terminate_backend(pid, $3) FROM pg_stat_activity "
    "WHERE pid = $1 AND backend_start = $2"
)


def _arrays(first: int) -> str:
    return ", ".join(
        f"${first + n}::{'bigint' if n == _AT else 'text'}[]"
        for n in range(len(AUDIT_COLUMNS))
    )


WRITE = f"""
WITH fresh AS (
  INSERT INTO replay_marks (key, mint_id, expires_at)
  SELECT * FROM unnest($1::bytea[], $2::text[], $3::bigint[])
  ON CONFLICT DO NOTHING RETURNING key, mint_id
), recorded AS (
  INSERT INTO audit ({_COLUMNS})
  SELECT {_COLUMNS} FROM unnest($4::bytea[], $5::text[], {_arrays(6)})
    AS batch (mark, mint, {_COLUMNS})
  WHERE mark IS NULL OR (mark, mint) IN (SELECT key, mint_id FROM fresh)
)
SELECT key, mint_id FROM fresh
"""  # noqa: S608  # constants
"""Insert marks that are new, and the records whose mark was; says which were new."""

DRAIN = f"""
INSERT INTO audit ({_COLUMNS})
SELECT {_COLUMNS} FROM unnest({_arrays(1)}) AS batch ({_COLUMNS})
WHERE NOT EXISTS (SELECT 1 FROM audit WHERE audit.event_id = batch.event_id)
"""  # noqa: S608  # constants


def columns_of(rows: Sequence[AuditRow]) -> list[list[str | int]]:
    """The rows turned into one list a column."""
    return [list(column) for column in zip(*rows, strict=True)] or [
        [] for _ in AUDIT_COLUMNS
    ]


def write_arguments(
    minted: Sequence[tuple[AuditRow, MarkRow | None]], appended: Sequence[AuditRow]
) -> list[object]:
    """The arguments of ``WRITE``."""
    # In the keys' order: two workers that insert the same proofs' marks in different
    # orders would wait for each other.
    marks = sorted(mark for _, mark in minted if mark is not None)
    keys = [None if mark is None else mark[0] for _, mark in minted]
    ids = [None if mark is None else mark[1] for _, mark in minted]
    nothing = [None] * len(appended)
    return [
        [key for key, _, _ in marks],
        [mint_id for _, mint_id, _ in marks],
        [expires_at for _, _, expires_at in marks],
        keys + nothing,
        ids + nothing,
        *columns_of([row for row, _ in minted] + list(appended)),
    ]
