"""Picking actions from the catalogue: one service and access level at a time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from broker.catalogue import AccessLevel, find_service

SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class Choice:
    """An action of the list; ``there`` says that the statement names it already."""

    name: str
    there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Picker:
    """What is looked at, as the form has it."""

    statement: int
    service: str = ""
    level: str = ""
    wanted: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PickerView:
    """What the form shows; ``unknown`` when AWS has no such service.

    ``levels`` are the access levels that the service has: number, name and how many
    actions.
    """

    picker: Picker
    title: str
    unknown: bool
    levels: tuple[tuple[int, str, int], ...]
    choices: tuple[Choice, ...]
    more: int
    keys: tuple[str, ...]


def view_picker(picker: Picker, named: Iterable[str]) -> PickerView:
    """The actions of the service; ``named`` are those that the statement has."""
    service = find_service(picker.service)
    if service is None:
        return PickerView(
            picker=picker,
            title=picker.service,
            unknown=bool(picker.service),
            levels=(),
            choices=(),
            more=0,
            keys=(),
        )
    have = {action.lower() for action in named}
    counts = Counter(entry.level for entry in service.actions.values())
    wanted = picker.wanted.lower()
    fitting = [
        f"{service.prefix}:{entry.name}"
        for lowered, entry in service.actions.items()
        if (not picker.level or entry.level.value == picker.level) and wanted in lowered
    ]
    return PickerView(
        picker=picker,
        title=service.name,
        unknown=False,
        levels=tuple(
            (number, level.value, counts[level])
            for number, level in enumerate(AccessLevel)
            if counts[level]
        ),
        choices=tuple(
            Choice(name, name.lower() in have) for name in fitting[:SHOWN_MAX]
        ),
        more=max(0, len(fitting) - SHOWN_MAX),
        keys=tuple(service.condition_keys)[:60],
    )
