"""The changes that a template makes, as they are printed and recorded."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from broker.model.account import AccountId

_SHOWN_CHARACTERS = 60


class ChangeKind(StrEnum):
    """What happens to an entity; the value is the mark it is printed with."""

    CREATE = "+"
    UPDATE = "~"
    DELETE = "-"
    KEEP = "!"
    """It is not in the template, and is kept because ``--prune`` was not given."""

    CALL = "*"
    """It is in the template but contains a secret, so an API call must create it."""

    @property
    def is_done(self) -> bool:
        """Whether the change is made, rather than only reported."""
        return self not in {ChangeKind.KEEP, ChangeKind.CALL}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the template and what is there."""

    account: AccountId
    kind: ChangeKind
    entity: str
    details: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """The change, then each detail."""
        line = f"{self.kind} {self.account} {self.entity}"
        if self.kind is ChangeKind.KEEP:
            line += " is not in the template; --prune would delete it"
        return (line, *(f"    {detail}" for detail in self.details))

    def __str__(self) -> str:
        return "\n".join(self.lines)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """A description of how two descriptions of one kind differ."""
    return tuple(_differences("", before, after, list(after)))


def _differences(
    within: str, old: Mapping[str, Any], new: Mapping[str, Any], names: Iterable[str]
) -> Iterator[str]:
    for name in names:
        before, after = old.get(name), new.get(name)
        place = f"{within}{name}"
        if isinstance(before, dict) and isinstance(after, dict):
            among = sorted(before.keys() | after.keys())
            yield from _differences(f"{place}.", before, after, among)
        elif before != after:
            yield f"{place}: {shown(before)} -> {shown(after)}"


def shown(value: object) -> str:
    """A value on one line, truncated if it is long."""
    if value is None:
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if len(text) > _SHOWN_CHARACTERS:
        return f"{text[:_SHOWN_CHARACTERS]}… ({len(text)} characters)"
    return text or "nothing"
