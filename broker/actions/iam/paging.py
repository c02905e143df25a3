"""``Marker``, ``MaxItems`` and ``IsTruncated``.

Directory lists have their own markers. Short lists that are read whole (an entity's
tags, policies, keys) are paged here: a marker names the last item of the page before,
so that an item that is there the whole time is listed exactly once. A marker begins
with the mark of its operation, and is good for no other.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict, TypeVar

from broker.actions.action import Call, Handle
from broker.errors import ValidationError
from broker.model.page import Page, PageRequest
from broker.model.request import Params

Item = TypeVar("Item")

_DEFAULT_ITEMS = 100
_DIGEST_BYTES = 16
_KEY_BYTES = 200
"""With the digest, in base64 and with marks below the 320 characters of a marker."""

_MARK_CHARACTERS = 6


class Truncation(TypedDict):
    """The members that every paginated answer has."""

    IsTruncated: bool
    Marker: NotRequired[str]


def with_own_markers(name: str, handle: Handle) -> Handle:
    """An operation that takes no other operation's markers.

    The handler raises ValidationError for one that is not of ``name``.
    """
    mark = hashlib.sha256(name.encode()).hexdigest()[:_MARK_CHARACTERS]

    async def run(params: Params, call: Call) -> Mapping[str, Any] | None:
        marker = params.get("Marker")
        if marker is not None:
            if not marker.startswith(mark):
                raise _invalid_marker()
            params = {**params, "Marker": marker.removeprefix(mark)}
        answer = await handle(params, call)
        if not answer or "Marker" not in answer:
            return answer
        return {**answer, "Marker": f"{mark}{answer['Marker']}"}

    return run


def page_request(params: Params) -> PageRequest:
    """The page that a request asks for."""
    return PageRequest(params.get("Marker"), params.get("MaxItems", _DEFAULT_ITEMS))


def cut(
    items: Sequence[Item], key: Callable[[Item], str], request: PageRequest
) -> Page[Item]:
    """A page of a list that is there as a whole, with unique keys.

    Raises:
        ValidationError: the marker is not one of ours.
    """
    ordered = sorted(items, key=key)
    start = 0
    if request.marker is not None:
        start = _get_start([key(item) for item in ordered], request.marker)
    rows = ordered[start : start + request.limit]
    more = start + request.limit < len(ordered)
    return Page(tuple(rows), _make_marker(key(rows[-1])) if more else None)


def listed(
    many: str,
    items: Sequence[Item],
    key: Callable[[Item], str],
    params: Params,
    view: Callable[[Item], Any],
) -> dict[str, Any]:
    """The page that a request asks for of such a list, as the member ``many``."""
    page = cut(items, key, page_request(params))
    return {many: [view(item) for item in page.items], **truncation(page)}


def truncation(page: Page[Item]) -> Truncation:
    """The closing members of a paginated answer."""
    if page.marker is None:
        return {"IsTruncated": False}
    return {"IsTruncated": True, "Marker": page.marker}


def _make_marker(key: str) -> str:
    raw = key.encode("utf-8")
    mark = _digest(key) + raw[:_KEY_BYTES]
    return base64.urlsafe_b64encode(mark).decode("ascii")


def _get_start(keys: list[str], marker: str) -> int:
    """Where the page after a marker begins.

    The marker's own item is found by its digest. If it was deleted meanwhile, the part
    of its key in the marker shows where it stood.
    """
    try:
        mark = base64.b64decode(marker, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _invalid_marker() from error
    if len(mark) < _DIGEST_BYTES:
        raise _invalid_marker()
    digest, begin = mark[:_DIGEST_BYTES], mark[_DIGEST_BYTES:]
    for index, key in enumerate(keys):
        if _digest(key) == digest:
            return index + 1
    return sum(key.encode("utf-8")[:_KEY_BYTES] < begin for key in keys)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8")).digest()[:_DIGEST_BYTES]


def _invalid_marker() -> ValidationError:
    return ValidationError("Invalid Marker.")
