"""``broker:SearchDecisions``: who may do this, what may they do, to what.

Only what the broker knows can be found: users and roles of the service's account, the
service's declared actions, and resources that have a policy. What is found is what
`broker:Authorize` would allow now, without a session's own policies and tags. A search
is not an attempt: it leaves no records of decisions and no uses.

Each call looks at so many candidates at most, so a page may hold less than was asked
for, and still not be the last.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from broker.actions.action import Action, Call
from broker.actions.decisions.authorize import Authorizer, service_needs
from broker.actions.decisions.declare import SERVICE
from broker.actions.decisions.foreign import ANY_TYPE
from broker.actions.decisions.question import Batch, Question
from broker.actions.decisions.ready import ReadyService
from broker.authz.need import Need
from broker.errors import ValidationError
from broker.model.page import Page, PageRequest
from broker.model.request import Given
from broker.model.struct import struct
from broker.stores.errors import InvalidMarkerError

SEARCH = "Search"
FOUND = "Found"
"""Members of the action's input and output."""

CANDIDATES_MAX = 200
PAGE = 50
"""Results of a page unless a limit is given; never more than candidates."""

_CALLS = 20
"""How much a search counts towards the account's rate limit: it costs as much."""

_NOT_A_PLACE = "page.token is not a valid page token."

Sought = Literal["subject", "resource", "action"]


@struct
class Search:
    """What is looked for; ``question`` has the rest.

    ``kind`` is the type of subjects or resources. ``asked`` are the bytes of the request
    apart from its page: they must be the same for every page.
    """

    sought: Sought
    kind: str
    question: Question
    asked: bytes
    token: str = ""
    limit: int | None = None


@struct
class SearchResult:
    """A page. ``next_token`` is empty on the last one.

    ``searched`` says what was looked at where that is not everything there may be.
    """

    kind: str
    names: tuple[str, ...]
    next_token: str = ""
    searched: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A name as the protocol has it, and the question about it."""

    name: str
    question: Question


class Searcher:
    """Finds what would be allowed."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def action(self) -> Action:
        """The declaration; callers who may ask for decisions are permitted."""
        return Action(
            service=SERVICE,
            name="SearchDecisions",
            needs=_needs,
            handle=self._handle,
            calls=_CALLS,
            counted=True,
        )

    async def _handle(self, given: Given, call: Call) -> Mapping[str, Any]:
        search: Search = given[SEARCH]
        ready = await self._authorizer.find_ready(search.question.service, call)
        limit, begin = _read_token(search)
        cursor: str | None = begin
        names: list[str] = []
        looked = 0
        while cursor is not None and len(names) < limit and looked < CANDIDATES_MAX:
            wanted = min(limit - len(names), CANDIDATES_MAX - looked)
            page = await _page_of_candidates(
                ready, search, call, PageRequest(cursor, wanted)
            )
            names += await self._allowed(ready, page.items, call)
            looked += wanted
            cursor = page.marker
        partial = search.sought == "resource"
        return {
            FOUND: SearchResult(
                kind=search.kind,
                names=tuple(names),
                next_token="" if cursor is None else _token(search, limit, cursor),
                searched="resources with a resource-based policy" if partial else "",
            )
        }

    async def _allowed(
        self, ready: ReadyService, candidates: tuple[_Candidate, ...], call: Call
    ) -> list[str]:
        batch = Batch(
            questions=tuple(one.question for one in candidates),
            decisions_max=CANDIDATES_MAX,
        )
        answers = await self._authorizer.decide(ready, batch, call, noted=False)
        return [
            one.name
            for one, answer in zip(candidates, answers, strict=True)
            if answer.allowed
        ]


async def _needs(given: Given, call: Call) -> tuple[Need, ...]:
    search: Search = given[SEARCH]
    return service_needs(search.question.service, call)


async def _page_of_candidates(
    ready: ReadyService, search: Search, call: Call, page: PageRequest
) -> Page[_Candidate]:
    """The next ones; ``page.marker`` is empty for the first.

    Raises:
        ValidationError: the marker is not one of the list's.
    """
    try:
        match search.sought:
            case "action":
                return _actions(ready, search, page)
            case "subject":
                return await _subjects(ready, search, call, page)
            case "resource":
                return await _resources(ready, search, call, page)
    except InvalidMarkerError as error:
        raise ValidationError(_NOT_A_PLACE) from error


def _actions(
    ready: ReadyService, search: Search, page: PageRequest
) -> Page[_Candidate]:
    marker = page.marker or ""
    names = [one for one in ready.compiled.action_names if one > marker]
    items = tuple(
        _Candidate(one, replace(search.question, actions=(one,)))
        for one in names[: page.limit]
    )
    return Page(items, items[-1].name if len(names) > page.limit else None)


async def _subjects(
    ready: ReadyService, search: Search, call: Call, page: PageRequest
) -> Page[_Candidate]:
    """Users, then roles."""
    account = ready.service.account
    kinds = ("user", "role") if search.kind == ANY_TYPE else (search.kind,)
    kind, _, marker = (page.marker or f"{kinds[0]}:").partition(":")
    if kind not in kinds or kind not in {"user", "role"}:
        return Page((), None)
    read = call.directory.list_users if kind == "user" else call.directory.list_roles
    found = await read(account, "/", PageRequest(marker or None, page.limit))
    items = tuple(
        _Candidate(
            one.arn if search.kind == ANY_TYPE else one.name,
            replace(search.question, principal=one.arn),
        )
        for one in found.items
    )
    following = None if found.marker is None else f"{kind}:{found.marker}"
    if following is None and kind != kinds[-1]:
        following = f"{kinds[-1]}:"
    return Page(items, following)


async def _resources(
    ready: ReadyService, search: Search, call: Call, page: PageRequest
) -> Page[_Candidate]:
    """Those of other services and types are among them, and refused like any other."""
    compiled, kind = ready.compiled, search.kind
    if kind != ANY_TYPE and kind not in compiled.definition.resource_types:
        return Page((), None)
    found = await call.directory.list_resource_policies(
        ready.service.account, PageRequest(page.marker or None, page.limit)
    )
    items = []
    for policy in found.items:
        arn = policy.arn
        name = arn if kind == ANY_TYPE else compiled.name_resource(kind, arn)
        items.append(_Candidate(name, replace(search.question, resources=(arn,))))
    return Page(tuple(items), found.marker)


def _digest(search: Search) -> str:
    return hashlib.sha256(search.asked).hexdigest()[:32]


def _token(search: Search, limit: int, cursor: str) -> str:
    text = json.dumps([_digest(search), limit, cursor])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_token(search: Search) -> tuple[int, str]:
    """The limit of a page, and where it begins; empty for the beginning.

    Raises:
        ValidationError: the token is of another search, or none of ours.
    """
    limit = PAGE if search.limit is None else min(search.limit, CANDIDATES_MAX)
    if not search.token:
        return limit, ""
    try:
        digest, before, cursor = json.loads(
            base64.urlsafe_b64decode(search.token.encode("ascii"))
        )
    except (ValueError, TypeError, binascii.Error, RecursionError):
        digest = before = cursor = None
    if not isinstance(before, int) or not isinstance(cursor, str):
        raise ValidationError(_NOT_A_PLACE)
    if digest != _digest(search) or (search.limit is not None and before != limit):
        raise ValidationError("page.token is for another search.")
    return before, cursor
