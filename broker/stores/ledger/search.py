"""The ledger's search in both SQL dialects: newest first, by time and sequence.

A marker names the last row of a page, so rows written meanwhile do not shift the pages.
"""

from collections.abc import Callable

from broker.model.audit import AuditFilter, AuditRecord
from broker.model.page import Page, PageRequest
from broker.stores.errors import InvalidMarkerError
from broker.stores.ledger.rows import decode_audit
from broker.stores.times import to_micros

SELECTED = "seq, event_id, at, account, body"
SearchRow = tuple[int, str, int, str, str]


def build_search(
    wanted: AuditFilter, page: PageRequest, placeholder: Callable[[int], str]
) -> tuple[str, list[str | int]]:
    """The statement and its values; one row more than the page is asked for.

    Raises:
        InvalidMarkerError: the marker is none of ours.
    """
    conditions: list[str] = []
    values: list[str | int] = []

    def bind(value: str | int) -> str:
        values.append(value)
        return placeholder(len(values))

    if wanted.account is not None:
        conditions.append(f"account = {bind(wanted.account)}")
    if wanted.access_key_id:
        # The caller's own key, or the one that the call minted.
        conditions.append(
            f"((access_key_id = {bind(wanted.access_key_id)} AND access_key_id <> '')"
            f" OR (minted_key_id = {bind(wanted.access_key_id)}"
            " AND minted_key_id <> ''))"
        )
    for column in ("event_id", "caller_arn", "action", "decision", "provider_arn"):
        value: str = getattr(wanted, column)
        if value:
            conditions.append(f"{column} = {bind(value)}")
    if wanted.since is not None:
        conditions.append(f"at >= {bind(to_micros(wanted.since))}")
    if wanted.until is not None:
        conditions.append(f"at < {bind(to_micros(wanted.until))}")
    if page.marker is not None:
        at, seq = _read_marker(page.marker)
        conditions.append(f"(at, seq) < ({bind(at)}, {bind(seq)})")
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    statement = (
        f"SELECT {SELECTED} FROM audit {where}"  # noqa: S608  # constants, bound values
        f"ORDER BY at DESC, seq DESC LIMIT {bind(page.limit + 1)}"
    )
    return statement, values


def read_page(rows: list[SearchRow], page: PageRequest) -> Page[AuditRecord]:
    """The page of a statement's rows."""
    shown = rows[: page.limit]
    more = len(rows) > page.limit and bool(shown)
    return Page(
        tuple(
            decode_audit(event_id, at, account, body)
            for _, event_id, at, account, body in shown
        ),
        f"{shown[-1][2]}.{shown[-1][0]}" if more else None,
    )


def _read_marker(marker: str) -> tuple[int, int]:
    at, _, seq = marker.partition(".")
    try:
        numbers = int(at), int(seq)
    except ValueError as error:
        raise InvalidMarkerError("the marker is not one of this list's") from error
    if not all(abs(number) < 1 << 63 for number in numbers):
        raise InvalidMarkerError("the marker is not one of this list's")
    return numbers
