"""Parameters of a page: the query and a form-encoded body, within bounds.

A parameter that is sent twice, or in both query and body, is refused when it is read;
parameters that no page reads are ignored.

A form that was submitted after its session ended, or after its user signed in as someone
else in another tab, is kept to be sent again: only forms from our own pages, and never
passwords, codes, private keys or pasted proofs.
"""

import asyncio
import re
from urllib.parse import parse_qsl

from msgspec import Struct
from starlette.requests import Request

from broker.console.csrf import FIELD
from broker.errors import MalformedInput, RequestEntityTooLarge, ValidationError

BODY_BYTES_MAX = 32 * 1024
FIELDS_MAX = 64
_BODY_SECONDS_MAX = 30
LONG_BODY_BYTES_MAX = 512 * 1024
LONG_FIELDS_MAX = 2048
"""For forms that hold a policy, as text or as a field for each of its parts."""

_FORM = "application/x-www-form-urlencoded"

_SECRET = re.compile(
    r"password|secret|token|code\b|\bpin\b|\bpem\b|\bproof\b", re.IGNORECASE
)
_SHOWN_MAX = 300


class Form:
    """The parameters of one request."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def find(self, name: str) -> str | None:
        """Return a parameter's value; None when it was not sent.

        Raises:
            ValidationError: It was sent twice.
        """
        values = self._values.get(name, ())
        if len(values) > 1:
            raise ValidationError(f"The parameter {name} was sent more than once.")
        return values[0] if values else None

    def values(self, name: str) -> tuple[str, ...]:
        """All values of a field that allows several."""
        return tuple(self._values.get(name, ()))

    def lines(self, name: str) -> tuple[str, ...]:
        """The lines of a field that are not blank."""
        lines = newlines(self.find(name) or "").split("\n")
        return tuple(line.strip() for line in lines if line.strip())

    def pairs(self) -> tuple[tuple[str, str], ...]:
        """All parameters, repeated names next to each other."""
        return tuple(
            (name, value) for name, values in self._values.items() for value in values
        )

    def require(self, name: str) -> str:
        """Return a parameter's value, which must not be empty.

        Raises:
            ValidationError: It is missing or empty, or was sent twice.
        """
        value = self.find(name)
        if not value:
            raise ValidationError(f"The parameter {name} is missing.")
        return value


def newlines(text: str) -> str:
    """Convert line ends to LF: browsers send CRLF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


async def read_form(
    request: Request, *, body_max: int = BODY_BYTES_MAX, fields_max: int = FIELDS_MAX
) -> Form:
    """Read the parameters of a request.

    Raises:
        MalformedInput: They cannot be parsed.
        RequestEntityTooLarge: They are too long.
    """
    query: bytes = request.scope["query_string"]
    pairs = _parse(query, FIELDS_MAX)
    if request.method == "POST":
        body = await read_body(request, body_max)
        kind = request.headers.get("content-type", "").partition(";")[0]
        if body and kind.strip().lower() != _FORM:
            raise MalformedInput(f"The body must be {_FORM}.")
        pairs += _parse(body, fields_max)
    return Form(pairs)


def _parse(encoded: bytes, fields_max: int) -> list[tuple[str, str]]:
    try:
        pairs = parse_qsl(
            encoded.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=fields_max,
        )
    except ValueError as error:
        raise MalformedInput(
            "The request sent by the client was syntactically incorrect.",
            detail=type(error).__name__,
        ) from error
    # As HTML has it: nobody types NUL, and PostgreSQL takes it in no text.
    return [(name, value.replace("\0", "\ufffd")) for name, value in pairs]


async def read_body(request: Request, body_max: int, what: str = "form") -> bytes:
    """Read a body, and say what is too long or too late.

    Raises:
        RequestEntityTooLarge, MalformedInput: It is.
    """
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS_MAX):
            async for chunk in request.stream():
                size += len(chunk)
                if size > body_max:
                    raise RequestEntityTooLarge(f"The {what} is too long.")
                chunks.append(chunk)
    except TimeoutError as error:
        raise MalformedInput(f"The {what} did not arrive in time.") from error
    return b"".join(chunks)


class KeptForm(Struct, frozen=True):
    """A form's action and its fields, except for secrets."""

    action: str
    fields: tuple[tuple[str, str], ...]

    @property
    def shown(self) -> tuple[tuple[str, str], ...]:
        """The non-empty fields for display, with readable names and bounded values."""
        return tuple(
            (name.replace("_", " "), value[:_SHOWN_MAX])
            for name, value in self.fields
            if value.strip()
        )


def keep_form(request: Request, form: Form) -> KeptForm:
    """Keep a form's fields, except for secrets and the CSRF token."""
    return KeptForm(
        request.url.path,
        tuple(
            (name, value)
            for name, value in form.pairs()
            if name != FIELD and not _SECRET.search(name)
        ),
    )
