"""An entry that a search found."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_BINARY_ID = "objectguid"
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Entry:
    """A name, and values by attribute; attributes are found without regard to case."""

    dn: str
    values: Mapping[str, tuple[bytes, ...]] = field(repr=False)

    @classmethod
    def of(cls, dn: str, attributes: Iterable[tuple[str, Iterable[bytes]]]) -> "Entry":
        """From what the server sent; options such as ``;binary`` are left out."""
        values: dict[str, tuple[bytes, ...]] = {}
        for name, found in attributes:
            key = name.partition(";")[0].lower()
            values[key] = (*values.get(key, ()), *found)
        return cls(dn, values)

    def texts(self, attribute: str) -> tuple[str, ...]:
        """The values that are UTF-8."""
        found = []
        for raw in self.values.get(attribute.lower(), ()):
            try:
                found.append(raw.decode())
            except UnicodeDecodeError:
                continue
        return tuple(found)

    def text(self, attribute: str) -> str:
        """The first of them; empty when there is none."""
        return next(iter(self.texts(attribute)), "")


def read_subject(entry: Entry, attribute: str) -> str:
    """What identifies the entry permanently; empty when it is absent.

    ``objectGUID`` is binary, its first three fields little-endian ([MS-DTYP] 2.3.4.2).
    """
    raw = next(iter(entry.values.get(attribute.lower(), ())), b"")
    if attribute.lower() == _BINARY_ID:
        return str(uuid.UUID(bytes_le=raw)) if len(raw) == _ID_BYTES else ""
    return entry.text(attribute).lower()


def subject_value(subject: str, attribute: str) -> bytes:
    """The value to search for by a subject.

    Raises:
        ValueError: the subject is not one of this attribute.
    """
    if attribute.lower() == _BINARY_ID:
        return uuid.UUID(subject).bytes_le
    return subject.encode()
