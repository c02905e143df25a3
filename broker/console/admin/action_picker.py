"""Picking actions from the catalogue: one service and access level at a time."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from broker.catalogue import AccessLevel, find_service
from broker.console.forms import Form

SHOWN_MAX = 100
PICKED_MAX = 200
_NUMBER = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True, slots=True)
class ActionChoice:
    """An action of the list; ``there`` says that the statement names it already."""

    name: str
    there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPicker:
    """What is looked at, as the form has it."""

    statement: int
    service: str = ""
    level: str = ""
    wanted: str = ""

    def turned(self, command: str, place: int | None) -> "ActionPicker | None":
        """The picker after a button of its own; None when it was closed."""
        if command == "pick-done":
            return None
        if command == "pick-service":
            return ActionPicker(statement=self.statement, service=self.service)
        if command == "pick-level":
            level = dict(enumerate(AccessLevel)).get(-1 if place is None else place)
            return replace(self, level=level or "")
        return self

    def added(self, command: str, form: Form, have: Iterable[str]) -> tuple[str, ...]:
        """The actions that a button adds to those that are there."""
        picked: tuple[str, ...] = ()
        if command == "pick-all" and self.service:
            picked = (f"{self.service}:*",)
        elif command == "pick-add":
            picked = form.values("pick.action")[:PICKED_MAX]
        there = {action.lower() for action in have}
        return tuple(one for one in dict.fromkeys(picked) if one.lower() not in there)


def read_picker(form: Form) -> ActionPicker | None:
    """The picker of a posted form; None when the form has none open.

    Raises:
        ValidationError: a field was sent twice.
    """
    statement = form.find("pick")
    if statement is None or not _NUMBER.fullmatch(statement):
        return None
    return ActionPicker(
        statement=int(statement),
        service=(form.find("pick.service") or "").strip().lower()[:64],
        level=(form.find("pick.level") or "")[:64],
        wanted=(form.find("pick.find") or "").strip()[:64],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionPickerView:
    """What the form shows; ``unknown`` when AWS has no such service.

    ``levels`` are the access levels that the service has: number, name and how many
    actions.
    """

    picker: ActionPicker
    title: str
    unknown: bool
    levels: tuple[tuple[int, str, int], ...]
    choices: tuple[ActionChoice, ...]
    more: int
    keys: tuple[str, ...]


def view_picker(picker: ActionPicker, named: Iterable[str]) -> ActionPickerView:
    """The actions of the service; ``named`` are those that the statement has."""
    service = find_service(picker.service)
    if service is None:
        return ActionPickerView(
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
    return ActionPickerView(
        picker=picker,
        title=service.name,
        unknown=False,
        levels=tuple(
            (number, level.value, counts[level])
            for number, level in enumerate(AccessLevel)
            if counts[level]
        ),
        choices=tuple(
            ActionChoice(name, name.lower() in have) for name in fitting[:SHOWN_MAX]
        ),
        more=max(0, len(fitting) - SHOWN_MAX),
        keys=tuple(service.condition_keys)[:60],
    )
