"""Choosing actions from the catalogue, by service and access level."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from broker.console.forms import Form
from broker.policy.catalogue import AccessLevel, ServiceEntry, find_service

SHOWN_MAX = 100
PICKED_MAX = 200
_RESOURCES_MAX = 60
Row = TypeVar("Row")

_PLACEHOLDER = re.compile(r"\$?\{[^}]*\}")
_NUMBER = re.compile(r"[0-9]{1,4}")


class ActionChoice(Struct, frozen=True):
    """A listed action; ``there`` says that the statement already names it."""

    name: str
    there: bool


class ActionPicker(Struct, frozen=True, kw_only=True):
    """The picker's state, as carried by the form."""

    statement: int
    service: str = ""
    level: str = ""
    search: str = ""

    def apply(self, command: str, place: int | None) -> "ActionPicker | None":
        """Apply one of the picker's buttons; None when that closes it."""
        if command == "pick-done":
            return None
        if command == "pick-service":
            return ActionPicker(statement=self.statement, service=self.service)
        if command == "pick-level":
            level = dict(enumerate(AccessLevel)).get(-1 if place is None else place)
            return replace(self, level=level or "")
        return self

    def find_added(
        self, command: str, form: Form, have: Iterable[str]
    ) -> tuple[str, ...]:
        """The actions that a button adds to those the statement has."""
        picked: tuple[str, ...] = ()
        if command == "pick-all" and self.service:
            picked = (f"{self.service}:*",)
        elif command == "pick-add":
            picked = form.values("pick.action")[:PICKED_MAX]
        there = {action.lower() for action in have}
        return tuple(
            text for text in dict.fromkeys(picked) if text.lower() not in there
        )


def read_place(text: str) -> int | None:
    """The number of a row, as buttons name it; None for anything else."""
    return int(text) if _NUMBER.fullmatch(text) else None


def without(rows: tuple[Row, ...], place: int | None) -> tuple[Row, ...]:
    """The rows without the one at a place."""
    return tuple(row for number, row in enumerate(rows) if number != place)


def read_picker(form: Form) -> ActionPicker | None:
    """Read the picker from a form; None when it is not open.

    Raises:
        ValidationError: A field was sent twice.
    """
    statement = read_place(form.find("pick") or "")
    if statement is None:
        return None
    return ActionPicker(
        statement=statement,
        service=(form.find("pick.service") or "").strip().lower()[:64],
        level=(form.find("pick.level") or "")[:64],
        search=(form.find("pick.find") or "").strip()[:64],
    )


class ActionPickerView(Struct, frozen=True, kw_only=True):
    """The picker for display; ``unknown`` when AWS has no such service.

    ``levels`` are the service's access levels: number, name, and count of actions.
    ``keys`` and ``resources`` are its condition keys and the ARNs of its resource types.
    """

    picker: ActionPicker
    title: str
    unknown: bool
    levels: tuple[tuple[int, str, int], ...]
    choices: tuple[ActionChoice, ...]
    more: int
    keys: tuple[str, ...]
    resources: tuple[str, ...]


def view_picker(
    picker: ActionPicker,
    named: Iterable[str],
    declared: Mapping[str, ServiceEntry] | None = None,
) -> ActionPickerView:
    """List the service's actions; ``named`` are those that the statement has.

    ``declared`` are the account's registered services, which win over AWS's.
    """
    service = (declared or {}).get(picker.service) or find_service(picker.service)
    if service is None:
        return ActionPickerView(
            picker=picker,
            title=picker.service,
            unknown=bool(picker.service),
            levels=(),
            choices=(),
            more=0,
            keys=(),
            resources=(),
        )
    have = {action.lower() for action in named}
    counts = Counter(entry.level for entry in service.actions.values())
    search = picker.search.lower()
    fitting = [
        f"{service.prefix}:{entry.name}"
        for lowered, entry in service.actions.items()
        if (not picker.level or entry.level.value == picker.level) and search in lowered
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
        resources=tuple(dict.fromkeys(_resources(service)))[:_RESOURCES_MAX],
    )


def _resources(service: ServiceEntry) -> Iterable[str]:
    """ARNs with ``*`` for what differs."""
    for kind in service.resource_types.values():
        yield _PLACEHOLDER.sub("*", kind.arn.replace("${Partition}", "aws"))
