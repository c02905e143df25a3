"""Facts of the request that a page answers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from broker.errors import NoSuchEntity, ServiceUnavailable
from broker.model.request import RawRequest

ACCOUNT_PLACE = re.compile(
    r"[0-9]{12}|[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]", re.ASCII
)


def request_id(request: Request) -> str:
    """The id that the edge assigned to the request."""
    return str(request.scope["state"]["request_id"])


def note(request: Request, **facts: object) -> None:
    """Add facts to the request's log line."""
    request.scope["state"]["line"].update(facts)


@contextmanager
def unnoted(request: Request) -> Iterator[None]:
    """Keep the request's log line unchanged by side work done for it."""
    line = request.scope["state"]["line"]
    kept = dict(line)
    try:
        yield
    finally:
        line.clear()
        line.update(kept)


def raw_request(request: Request) -> RawRequest:
    """The request for the pipeline, without its body."""
    state = request.scope["state"]
    return RawRequest(
        method=request.method,
        raw_path=request.scope["raw_path"],
        query=b"",
        headers=tuple(
            (name, value)
            for name, value in request.scope["headers"]
            # The page has read its cookie; actions must not see it.
            if name not in {b"cookie", b"authorization"}
        ),
        body=b"",
        source_ip=state["source_ip"],
        secure=state["secure"],
    )


def source_address(request: Request) -> str:
    """The address that the request came from."""
    return str(request.scope["state"]["source_ip"])


def is_own_or_typed(request: Request) -> bool:
    """Whether the browser shows a page here that its user opened, or one of ours did.

    A page elsewhere can make a browser send requests without a limit. Clients that do
    not say where a request comes from are not browsers, or ones of before 2023.

    Source: W3C, Fetch Metadata Request Headers.
    """
    if request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}:
        return False
    return request.headers.get("sec-fetch-dest", "document") == "document"


def refuse_prefetch(request: Request) -> None:
    """Refuse a prefetch, which must not use up a single-use link.

    Raises:
        ServiceUnavailable: It is one; the browser discards this and asks again later.
    """
    for name in ("sec-purpose", "purpose", "x-moz"):
        if "pre" in request.headers.get(name, "").lower():
            raise ServiceUnavailable("This page cannot be prefetched.")


def require_place(request: Request) -> str:
    """Return the account number or alias in the path; it need not exist.

    Raises:
        NoSuchEntity: It is neither.
    """
    place: str = request.path_params["account"]
    if not ACCOUNT_PLACE.fullmatch(place):
        raise NoSuchEntity("There is no such page.")
    return place
