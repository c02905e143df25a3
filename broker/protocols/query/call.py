"""Splits a request into its action and parameters.

Strict where AWS is lenient: AWS takes the first of a repeated parameter, here a
parameter has one place and one value, so that what a proxy checked is what is executed.
"""

import re
from binascii import a2b_qp
from collections.abc import Mapping

from msgspec import Struct

from broker.model.request import RawRequest
from broker.protocols.shapes.violations import InputReason, InputRejected

PARAMETERS_MAX = 3000
"""Parameters in one request; the largest real ones have a few hundred."""

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_SHOWN_CHARACTERS = 128
_IN_NO_TEXT = b"\xff"
"""A byte that UTF-8 never has."""

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_QUOTED = bytes.maketrans(b"%=+", b"=" + _IN_NO_TEXT + b" ")
_EQUALS = bytes.maketrans(_IN_NO_TEXT, b"=")


class QueryCall(Struct, frozen=True, kw_only=True):
    """What is asked. Values are decoded, nothing is checked against a model yet.

    ``action`` is None when the request asks for no action at all: a browser that
    came to the endpoint, to be sent to the sign-in page. ``params`` holds neither
    ``Action`` and ``Version`` nor the ``X-Amz-…`` parameters of a presigned request.
    """

    __repr__ = object.__repr__

    action: str | None
    version: str | None
    params: Mapping[str, str]
    wants_json: bool


def parse_call(raw: RawRequest) -> QueryCall:
    """Read a GET's query, or a POST's form and query.

    A POST with neither a body nor a content type is read by its query; any other
    without a form's content type asks for no action, whatever it holds.

    Raises:
        InputRejected: MALFORMED_QUERY_STRING for text that is not UTF-8, broken
            percent escapes or too many parameters; VALIDATION_ERROR for a parameter
            that comes twice, be it in the query and the form.

    Source: captured and recorded requests (CAP, REC-A); attacks STS-03 and GEN-03.
    """
    kind, wanted = raw.find_header(b"content-type"), raw.find_header(b"accept")
    kind = None if kind is None else _media_type(kind)
    wants_json = wanted is not None and _media_type(wanted) == _JSON
    params: dict[str, str] = {}
    if raw.query:
        _collect(raw.query, params)
    if raw.method == "POST" and (raw.body or kind is not None):
        if kind != _FORM:
            return QueryCall(
                action=None, version=None, params={}, wants_json=wants_json
            )
        _collect(raw.body, params)
    action = params.pop("Action", None)
    version = params.pop("Version", None)
    if raw.query:
        params = {k: v for k, v in params.items() if k[:6].lower() != "x-amz-"}
    return QueryCall(
        action=action, version=version, params=params, wants_json=wants_json
    )


def _media_type(header: str) -> str:
    return header.partition(",")[0].partition(";")[0].strip().lower()


def _collect(encoded: bytes, params: dict[str, str]) -> None:
    try:
        pairs = encoded.decode().split("&", PARAMETERS_MAX)
        if len(pairs) + len(params) > PARAMETERS_MAX:
            raise InputRejected(
                InputReason.MALFORMED_QUERY_STRING,
                f"A request may have {PARAMETERS_MAX} parameters at the most.",
            )
        if _BROKEN_ESCAPE.search(encoded):
            raise InputRejected(
                InputReason.MALFORMED_QUERY_STRING,
                "The query string contains a broken percent escape.",
            )
        for pair in pairs:
            name, _, value = pair.partition("=")
            if "%" in name or "+" in name:
                name = _decode(name)
            if "%" in value or "+" in value:
                value = _decode(value)
            if name in params:
                raise InputRejected(
                    InputReason.VALIDATION_ERROR,
                    f"The parameter '{name[:_SHOWN_CHARACTERS]}' was sent more than once.",
                )
            if pair:
                params[name] = value
    except UnicodeDecodeError as error:
        raise InputRejected(
            InputReason.MALFORMED_QUERY_STRING, "The query string is not valid UTF-8."
        ) from error


def _decode(text: str) -> str:
    """Undo percent encoding, every escape of which is known to be whole.

    Quoted-printable differs in its escape character only, and its decoder needs no
    more memory than the text itself; urllib's makes an object of every escape.
    """
    raw = text.encode()
    decoded = a2b_qp(raw.translate(_QUOTED))
    if b"=" in raw and decoded.count(_IN_NO_TEXT) == raw.count(b"="):
        decoded = decoded.translate(_EQUALS)
    return decoded.decode()
