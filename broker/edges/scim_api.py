"""SCIM over HTTP: maps paths and methods to operations, and results to responses.

The account of a request is in its path, and its token must be of that account. The
provider is the token's.

Source: RFC 7644, 3.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog

from broker.actions.action import Action
from broker.actions.scim import groups, users
from broker.actions.scim.declare import (
    BASE,
    DISCOVER,
    ID,
    IF_MATCH,
    LISTING,
    PATCH,
    RESOURCE,
    SHOWN,
    VERSION,
    ScimRefused,
)
from broker.edges.asgi import Headers, Receive, Scope, Send, respond
from broker.edges.bodies import TooLargeError, receive_raw
from broker.errors import (
    AccessDenied,
    BrokerError,
    ConcurrentModification,
    EntityAlreadyExists,
    InternalFailure,
    LimitExceeded,
    NoSuchEntity,
    ProofError,
    RequestEntityTooLarge,
    ServiceUnavailable,
    Throttling,
    ValidationError,
)
from broker.model.raw import RawRequest
from broker.model.request import Door, Given
from broker.pipeline import Pipeline
from broker.proofs.bearer_tokens import ScimScheme
from broker.protocols.scim.answers import etag, show_discovery, show_error
from broker.protocols.scim.requests import (
    BODY_BYTES_MAX,
    read_group,
    read_group_patch,
    read_listing,
    read_user,
    read_user_patch,
)
from broker.protocols.scim.resources import Group, ScimRejected, User
from broker.stores.directory.fresh import FreshDirectory

_log = structlog.get_logger(__name__)

_JSON = (b"content-type", b"application/scim+json")
_CHALLENGE = (b"www-authenticate", b"Bearer")
_RETRY = (b"retry-after", b"1")
_VERSION = "v2"
_PATH_MAX = 512
_OK, _CREATED, _NO_CONTENT, _NOT_MODIFIED = 200, 201, 204, 304
_NOT_FOUND, _NOT_ALLOWED, _NOT_BUILT, _UNAVAILABLE = 404, 405, 501, 503
_SEARCH = ".search"
"""Queries by POST, which the specification leaves to the server."""

_STATUS: Mapping[type[BrokerError], tuple[int, str]] = {
    ProofError: (401, ""),
    LimitExceeded: (403, ""),
    AccessDenied: (403, ""),
    NoSuchEntity: (404, ""),
    EntityAlreadyExists: (409, "uniqueness"),
    RequestEntityTooLarge: (413, ""),
    Throttling: (429, ""),
    ConcurrentModification: (_UNAVAILABLE, ""),
    ServiceUnavailable: (_UNAVAILABLE, ""),
    ValidationError: (400, "invalidValue"),
}
"""The status and keyword of each family of errors."""

Read = Callable[[RawRequest, str], Given]
"""Reads a request's input; the text is the id in its address, empty where none is."""


@dataclass(frozen=True, slots=True)
class _Operation:
    """An operation, with how its input is read and the status of its success."""

    action: Action
    read: Read
    status: int = _OK


@dataclass(frozen=True, slots=True)
class _Endpoint:
    """The operations of a kind of resource, by method; on all, and on one."""

    on_all: Mapping[str, _Operation]
    on_one: Mapping[str, _Operation] = field(default_factory=dict)


_ENDPOINTS = {
    "Users": _Endpoint(
        {
            "GET": _Operation(
                users.LIST, lambda raw, _: {LISTING: read_listing(raw.query, User)}
            ),
            "POST": _Operation(
                users.CREATE, lambda raw, _: {RESOURCE: read_user(raw.body)}, _CREATED
            ),
        },
        {
            "GET": _Operation(
                users.GET, lambda raw, _: {LISTING: read_listing(raw.query, User)}
            ),
            "PUT": _Operation(
                users.PUT, lambda raw, _: {RESOURCE: read_user(raw.body, replaces=True)}
            ),
            "PATCH": _Operation(
                users.PATCH_ONE,
                lambda raw, id_: {
                    PATCH: read_user_patch(raw.body, id_),
                    LISTING: read_listing(raw.query, User),
                },
            ),
            "DELETE": _Operation(users.DELETE, lambda _raw, _: {}, _NO_CONTENT),
        },
    ),
    "Groups": _Endpoint(
        {
            "GET": _Operation(
                groups.LIST, lambda raw, _: {LISTING: read_listing(raw.query, Group)}
            ),
            "POST": _Operation(
                groups.CREATE, lambda raw, _: {RESOURCE: read_group(raw.body)}, _CREATED
            ),
        },
        {
            "GET": _Operation(
                groups.GET, lambda raw, _: {LISTING: read_listing(raw.query, Group)}
            ),
            "PUT": _Operation(
                groups.PUT,
                lambda raw, _: {RESOURCE: read_group(raw.body, replaces=True)},
            ),
            "PATCH": _Operation(
                groups.PATCH_ONE,
                lambda raw, id_: {
                    PATCH: read_group_patch(raw.body, id_),
                    LISTING: read_listing(raw.query, Group),
                },
            ),
            "DELETE": _Operation(groups.DELETE, lambda _raw, _: {}, _NO_CONTENT),
        },
    ),
}
_DISCOVERY = _Operation(DISCOVER, lambda _raw, _: {})


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request's operation, account, kind of resource and what follows it."""

    operation: _Operation
    account: str
    kind: str
    rest: str


class _NotServedError(Exception):
    """There is no such address, or it does not take this method."""

    def __init__(self, status: int, headers: Headers = ()) -> None:
        super().__init__(str(status))
        self.status = status
        self.headers = headers


class ScimApi:
    """Answers requests below ``/scim``."""

    def __init__(
        self, pipeline: Pipeline, fresh: FreshDirectory, *, address: str
    ) -> None:
        self._pipeline = pipeline
        self._fresh = fresh
        self._address = address

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            asked = _find_asked(scope["path"], scope["method"])
            raw = await receive_raw(scope, receive, BODY_BYTES_MAX)
        except TooLargeError:
            await _refuse(scope, send, RequestEntityTooLarge())
            return
        except _NotServedError as refused:
            await _fail(send, refused.status, "Not served.", headers=refused.headers)
            return
        scope["state"]["line"]["action"] = asked.operation.action.name
        try:
            result = await self._perform(scope["state"]["request_id"], raw, asked)
        except BrokerError as error:
            await _refuse(scope, send, error)
            return
        if asked.operation is _DISCOVERY:
            await _discover(send, self._base(asked), asked)
            return
        await _respond(send, raw, asked.operation, result)

    def _base(self, asked: _Asked) -> str:
        return f"{self._address}/{_VERSION}/{asked.account}"

    async def _perform(
        self, request_id: str, raw: RawRequest, asked: _Asked
    ) -> Mapping[str, Any]:
        def read() -> Given:
            try:
                given = asked.operation.read(raw, asked.rest)
            except ScimRejected as rejected:
                raise ScimRefused(rejected) from None
            return {
                **given,
                **({ID: asked.rest} if asked.rest else {}),
                BASE: self._base(asked),
                IF_MATCH: raw.find_header(b"if-match") or "",
            }

        try:
            return await self._pipeline.perform(
                self._pipeline.receive(raw, request_id, Door.SCIM),
                asked.operation.action,
                read,
                ScimScheme(self._fresh, asked.account),
            )
        except BrokerError:
            raise
        except Exception as error:
            _log.exception("unexpected failure", request_id=request_id)
            raise InternalFailure from error


def _find_asked(path: str, method: str) -> _Asked:
    """What a path and a method ask for.

    Raises:
        _NotServedError: there is nothing, or nothing for this method.
    """
    _, _, version, account, kind, rest = [*path.split("/", 5), *[""] * 5][:6]
    # PostgreSQL rejects NUL in text.
    if len(path) > _PATH_MAX or "\0" in path or version != _VERSION or not kind:
        raise _NotServedError(_NOT_FOUND)
    if _SEARCH in {kind, rest}:
        raise _NotServedError(_NOT_BUILT)
    endpoint = _ENDPOINTS.get(kind)
    if endpoint is None:
        if method != "GET":
            raise _NotServedError(_NOT_ALLOWED, ((b"allow", b"GET"),))
        return _Asked(_DISCOVERY, account, kind, rest)
    allowed = endpoint.on_one if rest else endpoint.on_all
    operation = allowed.get(method)
    if operation is None:
        raise _NotServedError(_NOT_ALLOWED, ((b"allow", ", ".join(allowed).encode()),))
    return _Asked(operation, account, kind, rest)


async def _respond(
    send: Send, raw: RawRequest, operation: _Operation, result: Mapping[str, Any]
) -> None:
    if operation.status == _NO_CONTENT:
        await respond(send, _NO_CONTENT)
        return
    shown, headers = result[SHOWN], (_JSON,)
    extra: Headers = ()
    if VERSION in result:
        tag = etag(result[VERSION]).encode()
        extra = ((b"etag", tag),)
        if raw.method == "GET" and (raw.find_header(b"if-none-match") or "") == (
            tag.decode()
        ):
            await respond(send, _NOT_MODIFIED, extra)
            return
        location = shown.get("meta", {}).get("location", "")
        if operation.status == _CREATED and location:
            extra = (*extra, (b"location", location.encode()))
    await respond(send, operation.status, (*headers, *extra), orjson.dumps(shown))


async def _discover(send: Send, base: str, asked: _Asked) -> None:
    found = show_discovery(
        base, f"/{asked.kind}" + (f"/{asked.rest}" * bool(asked.rest))
    )
    if found is None:
        await _fail(send, _NOT_FOUND, "There is no such address.")
    else:
        await respond(send, _OK, (_JSON,), orjson.dumps(found))


async def _refuse(scope: Scope, send: Send, error: BrokerError) -> None:
    scope["state"]["line"]["error_code"] = error.code
    if isinstance(error, ScimRefused):
        rejected = error.rejected
        await _fail(send, rejected.status, rejected.detail, rejected.scim_type)
        return
    status, keyword = next(
        (found for kind, found in _STATUS.items() if isinstance(error, kind)),
        (error.status, ""),
    )
    headers: Headers = ()
    if status == _STATUS[ProofError][0]:
        headers = (_CHALLENGE,)
    elif status in {_UNAVAILABLE, _STATUS[Throttling][0]}:
        headers = (_RETRY,)
    await _fail(send, status, error.words, keyword, headers)


async def _fail(
    send: Send, status: int, detail: str, keyword: str = "", headers: Headers = ()
) -> None:
    body = show_error(status, detail, keyword)
    await respond(send, status, (_JSON, *headers), body)
