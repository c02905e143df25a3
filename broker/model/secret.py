"""What must not be shown: secret texts, and members of records."""

from typing import Annotated, Any, TypeVar, final

from msgspec import Struct

T = TypeVar("T")
_HIDDEN = object()

Hidden = Annotated[T, _HIDDEN]
"""The type of a member that the repr of a `Confidential` leaves out."""


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


class Confidential(Struct, frozen=True):
    """A record whose `Hidden` members are not in its repr."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        hidden = {
            name
            for kind in type(self).__mro__
            for name, hint in getattr(kind, "__annotations__", {}).items()
            if _HIDDEN in getattr(hint, "__metadata__", ())
        }
        names = [name for name in self.__struct_fields__ if name not in hidden]
        return [(name, getattr(self, name)) for name in names]

    def __repr__(self) -> str:
        members = [f"{name}={value!r}" for name, value in self.__rich_repr__()]
        return f"{type(self).__name__}({', '.join(members)})"
