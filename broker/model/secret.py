"""A text that must not be shown."""

from typing import final


@final
class Secret:
    """Wraps a secret so that logs, reprs and tracebacks never show it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The secret itself; the one place a reader has to look for."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        raise TypeError("compare secrets with hmac.compare_digest")

    __hash__ = None  # type: ignore[assignment] # a secret is not a dictionary key
