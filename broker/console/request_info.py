"""What a page needs to know of the request it answers."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from broker.errors import ServiceUnavailable
from broker.model.raw import RawRequest


def request_id(request: Request) -> str:
    """The id that the edge gave the request."""
    return str(request.scope["state"]["request_id"])


def note(request: Request, **facts: object) -> None:
    """Add facts to the request's log line."""
    request.scope["state"]["line"].update(facts)


@contextmanager
def unnoted(request: Request) -> Iterator[None]:
    """Leave the request's log line as it is: what is done here is not what was asked."""
    line = request.scope["state"]["line"]
    kept = dict(line)
    try:
        yield
    finally:
        line.clear()
        line.update(kept)


def raw_request(request: Request) -> RawRequest:
    """The request as the pipeline takes it; the body stays with the door."""
    state = request.scope["state"]
    return RawRequest(
        method=request.method,
        raw_path=request.scope["raw_path"],
        query=b"",
        headers=tuple(
            (name, value)
            for name, value in request.scope["headers"]
            # A door's own secrets are no business of those behind it.
            if name not in {b"cookie", b"authorization"}
        ),
        body=b"",
        source_ip=state["source_ip"],
        secure=state["secure"],
    )


def source_address(request: Request) -> str:
    """The address that the request came from."""
    return str(request.scope["state"]["source_ip"])


def refuse_prefetch(request: Request) -> None:
    """A browser that only looks ahead must use nothing up.

    Raises:
        ServiceUnavailable: it does; it throws the answer away and asks again.
    """
    for name in ("sec-purpose", "purpose", "x-moz"):
        if "pre" in request.headers.get(name, "").lower():
            raise ServiceUnavailable("This page is not loaded ahead of time.")
