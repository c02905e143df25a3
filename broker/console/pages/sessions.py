"""*Sessions*: the user's own live sessions, and all of the account's."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial

from msgspec import Struct
from starlette.responses import Response

from broker.console.context import HOME
from broker.console.tables import cut_page
from broker.console.visit import BOTH, PageRoute, Visit, go
from broker.errors import (
    BrokerError,
    NoSuchEntity,
    ServiceUnavailable,
    ValidationError,
)
from broker.model.arn import iam_arn
from broker.model.session_arn import session_arn_by_key
from broker.sessions.listing import SessionStatus
from broker.stores.cache.port import SessionRecord

OWN = "/console/sessions"
ALL = "/console/sessions/all"
SHOWN_MAX = 50
"""Sessions on a page; fewer than fields of a form, which may have them all picked."""

READ_MAX = 500
"""Sessions of the account that are read for a list without a search."""

SEARCHED_MAX = 5000
"""Sessions that are read for one with a search, and for the person's own."""

_NAMED_MAX = 20
_KEY_CHARACTERS = 128

DEPTH_MAX = 4
"""Steps that a list indents."""


async def _answer(path: str, visit: Visit) -> Response:
    """The page of the user's own, or of all of the account's; a POST ends some."""
    if visit.posted and visit.text("sure"):
        return await _end(visit, path)
    if visit.posted:
        return await _ask(visit, (await _read(visit, path, SEARCHED_MAX))[0], path)
    search = visit.text("q")[:128]
    most = SEARCHED_MAX if search or path == OWN else READ_MAX
    records, is_whole = await _read(visit, path, most, search)
    return await _list(visit, records, path, search, is_whole=is_whole)


def _whose(visit: Visit, path: str) -> dict[str, str]:
    """Whose sessions a page is about, as the API has it."""
    account = visit.who.session.account
    return {"principalArn": iam_arn(account, "*")} if path == ALL else {}


async def _read(
    visit: Visit, path: str, most: int, text: str = ""
) -> tuple[list[SessionRecord], bool]:
    """The live ones, newest first, and whether that is all of them."""
    result = await visit.perform(
        *("signin", "ListSessions"),
        **_whose(visit, path),
        status=SessionStatus.ACTIVE,
        maxResults=most,
        Text=text,
    )
    records = [listed.record for listed in result["Sessions"]]
    records.sort(key=lambda record: -record.issued_at_ms)
    return records, not result["NextToken"]


async def _list(
    visit: Visit,
    records: Sequence[SessionRecord],
    path: str,
    search: str,
    *,
    is_whole: bool,
) -> Response:
    branches = grow(records)
    return await visit.show(
        "sessions.html",
        path=path,
        is_all=path == ALL,
        search=search,
        whole=is_whole,
        pages=cut_page(branches, visit.text("page"), path, SHOWN_MAX, q=search),
    )


async def _ask(visit: Visit, records: Sequence[SessionRecord], path: str) -> Response:
    """Say what will end before anything does."""
    picked = frozenset(_picked(visit))
    chosen = [record for record in records if record.access_key_id in picked]
    if not chosen:
        raise ValidationError("Select the sessions to end; they may have ended by now.")
    own = visit.who.session.access_key_id
    below = made_from(chosen, records)
    upstreams = {
        record.upstream.name for record in (*chosen, *below) if record.upstream
    }
    return await visit.show(
        "sessions_end.html",
        path=path,
        is_all=path == ALL,
        chosen=chosen,
        below=below[:_NAMED_MAX],
        below_count=len(below),
        upstreams=sorted(upstreams),
        is_own=any(record.access_key_id == own for record in (*chosen, *below)),
    )


async def _end(visit: Visit, path: str) -> Response:
    picked = _picked(visit)
    if not picked:
        raise ValidationError("Select the sessions to end.")
    ended: list[str] = []
    refused: BrokerError | None = None
    for key in picked:
        try:
            await end_session(visit, key, **_whose(visit, path))
        except ServiceUnavailable:
            raise
        except BrokerError as error:
            refused = error
            continue
        ended.append(key)
    if refused is not None and not ended:
        raise refused
    if visit.who.session.access_key_id in ended:
        return go(HOME)
    text = f"{len(ended)} session{'' if len(ended) == 1 else 's'} ended"
    if refused is not None:
        text = f"{text}; {len(picked) - len(ended)} could not be ended: {refused.words}"
    return visit.done(text, path)


async def end_session(visit: Visit, access_key_id: str, **whose: str) -> None:
    """Revoke a session of the account.

    Raises:
        NoSuchEntity: There is none, or it is not one of those asked for.
    """
    account = visit.who.session.account
    arn = session_arn_by_key(visit.region, account, access_key_id)
    result = await visit.perform(
        "signin", "BatchRevokeSessions", sessionArns=[arn], **whose
    )
    if result["errors"]:
        raise NoSuchEntity("There is no such live session.")


def _picked(visit: Visit) -> list[str]:
    values: Iterable[str] = visit.posted_form.values("picked")
    return list(dict.fromkeys(value[:_KEY_CHARACTERS] for value in values))[:SHOWN_MAX]


PAGES = (
    PageRoute(OWN, "sessions", partial(_answer, OWN), BOTH),
    PageRoute(ALL, "all-sessions", partial(_answer, ALL), BOTH),
)


class Branch(Struct, frozen=True):
    """A session below the one that it was made from, if that one is listed, too."""

    record: SessionRecord
    depth: int
    parent: SessionRecord | None


def grow(records: Sequence[SessionRecord]) -> list[Branch]:
    """The sessions as branches: each directly after what it was made from.

    Sessions that were made from none of the others come newest first, and so do those
    made from the same one.
    """
    by_label = {_label(record): record for record in records}
    below: dict[str, list[SessionRecord]] = defaultdict(list)
    roots: list[SessionRecord] = []
    for record in sorted(records, key=lambda record: -record.issued_at_ms):
        parent = _parent(record, by_label)
        if parent is None:
            roots.append(record)
        else:
            below[_label(parent)].append(record)
    branches: list[Branch] = []
    # Not by recursion: a chain may be as long as an attacker has patience.
    waiting = [Branch(record, 0, None) for record in reversed(roots)]
    while waiting:
        branch = waiting.pop()
        branches.append(branch)
        children = below.pop(_label(branch.record), ())
        depth = min(branch.depth + 1, DEPTH_MAX)
        waiting += (
            Branch(record, depth, branch.record) for record in reversed(children)
        )
    return branches


def made_from(
    chosen: Iterable[SessionRecord], records: Iterable[SessionRecord]
) -> list[SessionRecord]:
    """The sessions that were made from the chosen ones, at whatever remove."""
    labels = {_label(record) for record in chosen}
    return [
        record
        for record in records
        if _label(record) not in labels
        and any(ancestor.label in labels for ancestor in record.lineage.ancestors)
    ]


def _parent(
    record: SessionRecord, by_label: dict[str, SessionRecord]
) -> SessionRecord | None:
    for ancestor in reversed(record.lineage.ancestors):
        parent = by_label.get(ancestor.label)
        if parent is not None and parent is not record:
            return parent
    return None


def _label(record: SessionRecord) -> str:
    return record.mint_id or record.access_key_id
