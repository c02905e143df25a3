"""The commands' names, and their modules, imported when a command is used.

Imports are most of a start, and an AWS SDK starts a `credential_process` again and
again.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class CommandPlace(NamedTuple):
    """Where a command is, and the first line of its help."""

    module: str
    attribute: str
    summary: str


class LazyCommand(TyperCommand):
    """A command known by its name and summary until it is used."""

    def __init__(self, name: str, place: CommandPlace) -> None:
        super().__init__(name, help=place.summary)
        self._place = place

    def make_context(self, *params: Any, **more: Any) -> Any:  # noqa: ANN401  # click's
        """Import the command, which parses the rest of the command line itself."""
        return self.load().make_context(*params, **more)

    def load(self) -> Any:  # noqa: ANN401  # a click command
        """The command itself."""
        loaded = getattr(import_module(self._place.module), self._place.attribute)
        if isinstance(loaded, typer.Typer):
            return typer.main.get_group(loaded)
        single = typer.Typer(add_completion=False)
        single.command(self.name)(loaded)
        return typer.main.get_command(single)


def lazy_group(places: Mapping[str, CommandPlace]) -> type[TyperGroup]:
    """The class of a group that has these commands besides its own.

    They are listed in this order, after its own.
    """

    class LazyGroup(TyperGroup):
        def __init__(self, **params: Any) -> None:  # noqa: ANN401  # click's
            super().__init__(**params)
            lazy = {name: LazyCommand(name, place) for name, place in places.items()}
            self.commands = {**self.commands, **lazy}

    return LazyGroup
