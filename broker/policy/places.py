"""Finds the line and column of the error in a rejected policy.

`PolicyRejected` names the statement and element; this module finds them in the text. It
is used only after an error, so it parses the text again.
"""

import re
from collections.abc import Iterable, Iterator
from json import JSONDecodeError

from msgspec import Struct

from broker.policy.errors import PolicyRejected, RejectionReason
from broker.policy.positions import _DECODER, Span, _end_of_value, _skip, make_span
from broker.policy.strict_json import shorten

_STATEMENT = re.compile(
    r'Statement ([1-9][0-9]{0,8})(?: \("(?:[^"\\]|\\.)*"\))?(?:, (.+))?', re.DOTALL
)
_UNKNOWN = "unknown element "
_DEPTH_MAX = 12
"""The depth to which duplicate keys are searched; no valid policy is as deep."""


class _Member(Struct, frozen=True):
    """A key of an object and its value, as offsets into the text."""

    key: str
    key_at: int
    value_at: int
    end: int


def find_place(text: str, error: PolicyRejected) -> Span | None:
    """The part of ``text`` that `parse_policy` refused with ``error``.

    None when the whole text is meant, or no part can be identified.
    """
    try:
        bounds = _find(text, error)
    except (ValueError, IndexError, RecursionError):
        return None
    if bounds is None:
        return None
    return make_span(text, *bounds)


def locate_offsets(
    text: str, path: Iterable[str | int], *, of_key: bool = False
) -> tuple[int, int]:
    """Where a value of a text begins and ends, or with ``of_key`` its member's name.

    Of a path that leads nowhere, as far as it leads.
    """
    at = _skip(text, 0)
    span = at, _end_of_value(text, at)
    for step in path:
        if isinstance(step, int):
            items = _items(text, span[0]) if text[span[0]] == "[" else iter(())
            inner = next((e for i, e in enumerate(items) if i == step), None)
            if inner is None:
                return span
            span = inner
        else:
            member = _find_member(text, span[0], step)
            if member is None:
                return span
            key, span = member, (member.value_at, member.end)
    if of_key:
        return key.key_at, key.key_at + len(
            text[key.key_at : key.value_at].rstrip(": \t\r\n")
        )
    return span


def find_statement_index(error: PolicyRejected) -> int | None:
    """The statement that the error is about, counted from 0; None for none."""
    match = _STATEMENT.fullmatch(error.place)
    return None if match is None else int(match[1]) - 1


def _find(text: str, error: PolicyRejected) -> tuple[int, int] | None:
    if error.reason is RejectionReason.INVALID_JSON:
        cause = error.__cause__
        if not isinstance(cause, JSONDecodeError):
            return None
        return cause.pos, min(cause.pos + 1, len(text))
    top = _skip(text, 0)
    if error.reason is RejectionReason.DUPLICATE_KEY:
        return _find_repeated(text, top, _DEPTH_MAX)
    match = _STATEMENT.fullmatch(error.place)
    if match is None:
        return _find_at_top(text, top, error)
    at = _statement_at(text, top, int(match[1]) - 1)
    return None if at is None else _locate_in_statement(text, at, match[2], error)


def _locate_in_statement(
    text: str, at: int, named: str | None, error: PolicyRejected
) -> tuple[int, int]:
    if named is not None:
        member = _find_element(text, at, named)
        if member is not None:
            return _narrow(text, member, error.words)
    return _find_unknown(text, at, error) or (at, _end_of_value(text, at))


def _find_at_top(text: str, top: int, error: PolicyRejected) -> tuple[int, int] | None:
    if text[top] != "{":
        return None
    member = _find_member(text, top, error.place)
    if member is not None:
        return member.value_at, member.end
    return _find_unknown(text, top, error)


def _find_unknown(text: str, at: int, error: PolicyRejected) -> tuple[int, int] | None:
    if error.reason is not RejectionReason.UNKNOWN_ELEMENT or text[at] != "{":
        return None
    quoted = error.words.partition(_UNKNOWN)[2]
    for member in _members(text, at):
        if quoted.startswith(shorten(member.key)):
            return member.key_at, member.end
    return None


def _find_element(text: str, at: int, named: str) -> _Member | None:
    word, _, rest = named.partition(" ")
    member = _find_member(text, at, word)
    if member is None:
        for holder in ("Principal", "NotPrincipal"):
            principal = _find_member(text, at, holder)
            if principal is not None and text[principal.value_at] == "{":
                return _find_member(text, principal.value_at, word) or principal
        return None
    place = member
    while rest and text[place.value_at] == "{":
        for inner in _members(text, place.value_at):
            quoted = shorten(inner.key)
            if rest == quoted or rest.startswith(f"{quoted} "):
                place, rest = inner, rest[len(quoted) :].strip()
                break
        else:
            break
    return place


def _narrow(text: str, member: _Member, message: str) -> tuple[int, int]:
    """The value of the element that the message quotes first.

    Later quotes in a message are examples of correct values.
    """
    values = [(member.value_at, member.end)]
    if text[member.value_at] == "{":
        values = [(m.value_at, m.end) for m in _members(text, member.value_at)]
    results: list[tuple[int, int, int]] = []
    for value_at, _ in values:
        if text[value_at] != "[":
            continue
        for at, end in _items(text, value_at):
            value, _ = _DECODER.raw_decode(text, at)
            quoted = shorten(value)[1:-1] if isinstance(value, str) else ""
            if quoted and quoted in message:
                results.append((message.index(quoted), at, end))
    if not results:
        return member.value_at, member.end
    _, at, end = min(results)
    return at, end


def _find_repeated(text: str, at: int, depth: int) -> tuple[int, int] | None:
    if depth == 0:
        return None
    if text[at] == "[":
        for item, _ in _items(text, at):
            repeated = _find_repeated(text, item, depth - 1)
            if repeated is not None:
                return repeated
    if text[at] != "{":
        return None
    seen: set[str] = set()
    for member in _members(text, at):
        # The innermost object is parsed, and so reported, first.
        repeated = _find_repeated(text, member.value_at, depth - 1)
        if repeated is not None:
            return repeated
        if member.key in seen:
            return member.key_at, member.end
        seen.add(member.key)
    return None


def _statement_at(text: str, top: int, index: int) -> int | None:
    if text[top] != "{":
        return None
    member = _find_member(text, top, "Statement")
    if member is None:
        return None
    if text[member.value_at] != "[":
        return member.value_at if index == 0 else None
    for number, (at, _) in enumerate(_items(text, member.value_at)):
        if number == index:
            return at
    return None


def _find_member(text: str, at: int, key: str) -> _Member | None:
    if text[at] != "{":
        return None
    return next((m for m in _members(text, at) if m.key == key), None)


def _members(text: str, at: int) -> Iterator[_Member]:
    place = _skip(text, at + 1)
    while text[place] == '"':
        key, end_of_key = _DECODER.raw_decode(text, place)
        value_at = _skip(text, _skip(text, end_of_key) + 1)
        end = _end_of_value(text, value_at)
        yield _Member(key, place, value_at, end)
        place = _skip(text, end)
        if text[place] != ",":
            return
        place = _skip(text, place + 1)


def _items(text: str, at: int) -> Iterator[tuple[int, int]]:
    place = _skip(text, at + 1)
    while text[place] != "]":
        end = _end_of_value(text, place)
        yield place, end
        place = _skip(text, end)
        if text[place] != ",":
            return
        place = _skip(text, place + 1)
