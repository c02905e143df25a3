"""What stands in an entity where a document was not read.

Documents are the long texts of an entity: metadata, a definition, certificates, a
policy. Lists leave them out; code that needs one reads that entity alone.
"""

from typing import Any, Final, NoReturn


class UnreadDocumentError(LookupError):
    """A document was used that a list left out: a fault of the broker's."""


def _refuse(self: object, *_: object) -> NoReturn:
    del self
    raise UnreadDocumentError("a list leaves documents out: find the entity by itself")


class _Unread:
    """Can be kept and compared with itself, and nothing else."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<unread>"

    def __eq__(self, other: object) -> bool:
        return other is self or _refuse(self)

    __hash__ = None  # type: ignore[assignment]  # as a text of its own it has none
    __getattr__ = __getitem__ = __iter__ = __contains__ = _refuse
    __len__ = __bool__ = __str__ = __format__ = __add__ = __lt__ = _refuse


UNREAD: Final[Any] = _Unread()
"""In place of a document, whatever its type."""
