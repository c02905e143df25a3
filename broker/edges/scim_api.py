"""SCIM over HTTP: maps paths and methods to operations, and results to responses.

The account of a request is in its path, and its token must be of that account. The
provider is the token's.

Source: RFC 7644, 3.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType

import orjson
from msgspec import Struct

from broker import errors
from broker.actions.action import Action
from broker.actions.scim import declare, groups, users
from broker.edges.asgi import Headers, Scope
from broker.edges.endpoint import Endpoint, Operation, Response
from broker.model.request import Door, Params, RawRequest
from broker.pipeline import Pipeline, Result
from broker.proofs.bearer_tokens import ScimScheme
from broker.protocols.scim import requests
from broker.protocols.scim.answers import etag, show_discovery, show_error
from broker.protocols.scim.resources import Group, ScimRejected, User
from broker.stores.directory.readings import FreshDirectory

_JSON = (b"content-type", b"application/scim+json")
_CHALLENGE = (b"www-authenticate", b"Bearer")
_RETRY = (b"retry-after", b"1")
_VERSION = "v2"
_PATH_MAX = 512
_HEAD_BYTES_MAX = 64 * 1024
"""No bound of its own for a query: those of lists have one, in words of SCIM."""

_OK, _CREATED, _NO_CONTENT, _NOT_MODIFIED = 200, 201, 204, 304
_NOT_FOUND, _NOT_ALLOWED, _NOT_BUILT, _UNAVAILABLE = 404, 405, 501, 503
_SEARCH = ".search"
"""Queries by POST, which the specification leaves to the server."""

_STATUS: Mapping[type[errors.BrokerError], tuple[int, str]] = {
    errors.ProofError: (401, ""),
    errors.LimitExceeded: (403, ""),
    errors.AccessDenied: (403, ""),
    errors.NoSuchEntity: (404, ""),
    errors.EntityAlreadyExists: (409, "uniqueness"),
    errors.RequestEntityTooLarge: (413, ""),
    errors.Throttling: (429, ""),
    errors.ConcurrentModification: (_UNAVAILABLE, ""),
    errors.ServiceUnavailable: (_UNAVAILABLE, ""),
    errors.ValidationError: (400, "invalidValue"),
}
"""The status and keyword of each family of errors."""

Read = Callable[[RawRequest, str], Params]
"""Reads a request's input; the text is the id in its address, empty where none is."""


class _Row(Struct, frozen=True):
    """An operation, with how its input is read and the status of its success."""

    action: Action
    read: Read
    status: int = _OK


def _rows(
    of: ModuleType,
    kind: type[User | Group],
    read: Callable[..., object],
    read_patch: Callable[..., object],
) -> tuple[Mapping[str, _Row], Mapping[str, _Row]]:
    def listing(raw: RawRequest, _: str) -> Params:
        return {declare.LISTING: requests.read_listing(raw.query, kind)}

    def patch(raw: RawRequest, id_: str) -> Params:
        return {declare.PATCH: read_patch(raw.body, id_), **listing(raw, id_)}

    return {
        "GET": _Row(of.LIST, listing),
        "POST": _Row(
            of.CREATE, lambda raw, _: {declare.RESOURCE: read(raw.body)}, _CREATED
        ),
    }, {
        "GET": _Row(of.GET, listing),
        "PUT": _Row(
            of.PUT, lambda raw, _: {declare.RESOURCE: read(raw.body, replaces=True)}
        ),
        "PATCH": _Row(of.PATCH_ONE, patch),
        "DELETE": _Row(of.DELETE, lambda _raw, _: {}, _NO_CONTENT),
    }


_ROWS = {
    "Users": _rows(users, User, requests.read_user, requests.read_user_patch),
    "Groups": _rows(groups, Group, requests.read_group, requests.read_group_patch),
}
_DISCOVERY = _Row(declare.DISCOVER, lambda _raw, _: {})


def scim_endpoint(
    pipeline: Pipeline, fresh: FreshDirectory, *, address: str
) -> Endpoint:
    """Answers requests below ``/scim``, which is at ``address``."""

    def find(scope: Scope) -> Operation | Response:
        method: str = scope["method"]
        _, _, version, account, kind, rest = [
            *scope["path"].split("/", 5),
            *[""] * 5,
        ][:6]
        row_or_answer = _get_row(scope["path"], method, version, kind, rest)
        if isinstance(row_or_answer, tuple):
            return row_or_answer
        row, base = row_or_answer, f"{address}/{_VERSION}/{account}"

        def read(raw: RawRequest) -> Params:
            try:
                params = row.read(raw, rest)
            except ScimRejected as rejected:
                raise declare.ScimRefused(rejected) from None
            return {
                **params,
                **({declare.ID: rest} if rest else {}),
                declare.BASE: base,
                declare.IF_MATCH: raw.find_header(b"if-match") or "",
            }

        return Operation(
            row.action,
            ScimScheme(fresh, account),
            read,
            partial(_discover, base, f"/{kind}" + f"/{rest}" * bool(rest))
            if row is _DISCOVERY
            else partial(_show, row.status),
            door=Door.SCIM,
            query_bytes_max=_HEAD_BYTES_MAX,
            body_bytes_max=requests.BODY_BYTES_MAX,
        )

    return Endpoint(pipeline, find, _refuse)


def _get_row(
    path: str, method: str, version: str, kind: str, rest: str
) -> _Row | Response:
    """What a path and a method ask for, or the answer that there is no such thing."""
    # PostgreSQL rejects NUL in text.
    if len(path) > _PATH_MAX or "\0" in path or version != _VERSION or not kind:
        return _not_served(_NOT_FOUND)
    if _SEARCH in {kind, rest}:
        return _not_served(_NOT_BUILT)
    if kind not in _ROWS:
        return _DISCOVERY if method == "GET" else _not_served(_NOT_ALLOWED, "GET")
    on_all, on_one = _ROWS[kind]
    rows = on_one if rest else on_all
    return rows.get(method) or _not_served(_NOT_ALLOWED, *rows)


def _not_served(status: int, *allowed: str) -> Response:
    headers = ((b"allow", ", ".join(allowed).encode()),) if allowed else ()
    return _fail(status, "Not served.", headers=headers)


def _show(status: int, scope: Scope, _given: Params, result: Result) -> Response:
    if status == _NO_CONTENT:
        return status, (), b""
    headers: Headers = (_JSON,)
    if declare.VERSION in result:
        tag = etag(result[declare.VERSION]).encode()
        headers = (*headers, (b"etag", tag))
        known = scope["state"]["named"].get(b"if-none-match")
        if scope["method"] == "GET" and known == tag:
            return _NOT_MODIFIED, headers[1:], b""
        location = result[declare.SHOWN].get("meta", {}).get("location", "")
        if status == _CREATED and location:
            headers = (*headers, (b"location", location.encode()))
    return status, headers, orjson.dumps(result[declare.SHOWN])


def _discover(
    base: str, path: str, _scope: Scope, _given: Params, _result: Result
) -> Response:
    results = show_discovery(base, path)
    if results is None:
        return _fail(_NOT_FOUND, "There is no such address.")
    return _OK, (_JSON,), orjson.dumps(results)


def _refuse(_scope: Scope, _given: Params, error: errors.BrokerError) -> Response:
    if isinstance(error, declare.ScimRefused):
        rejected = error.rejected
        return _fail(rejected.status, rejected.detail, rejected.scim_type)
    status, keyword = next(
        (results for kind, results in _STATUS.items() if isinstance(error, kind)),
        (error.status, ""),
    )
    headers: Headers = ()
    if status == _STATUS[errors.ProofError][0]:
        headers = (_CHALLENGE,)
    elif status in {_UNAVAILABLE, _STATUS[errors.Throttling][0]}:
        headers = (_RETRY,)
    return _fail(status, error.words, keyword, headers)


def _fail(
    status: int, detail: str, keyword: str = "", headers: Headers = ()
) -> Response:
    return status, (_JSON, *headers), show_error(status, detail, keyword)
