"""The tree of commands, as `broker` has it, and a plausible call of each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import typer

from broker.cli.commands import LazyCommand
from broker.cli.main import app

ACCOUNT = "123456789012"


class Leaf(NamedTuple):
    """A command that does something, and the words that lead to it."""

    path: tuple[str, ...]
    command: Any

    @property
    def name(self) -> str:
        return " ".join(self.path)


def groups(group: Any = None, *path: str) -> Iterator[Leaf]:
    """The root and every group of commands below it."""
    group = typer.main.get_command(app) if group is None else group
    yield Leaf(path, group)
    for name, command in group.commands.items():
        loaded = _loaded(command)
        if hasattr(loaded, "commands"):
            yield from groups(loaded, *path, name)


def leaves() -> list[Leaf]:
    """Every command that is no group."""
    return [
        Leaf((*group.path, name), loaded)
        for group in groups()
        for name, command in group.command.commands.items()
        if not hasattr(loaded := _loaded(command), "commands")
    ]


def call(
    leaf: Leaf, values: Mapping[str, str], more: Mapping[str, Sequence[str]]
) -> list[str]:
    """The words of a call with all that a command requires.

    ``values`` has what to pass by the name of a parameter, or of a command and its
    parameter; ``more`` what commands want besides, such as one of two options.
    """
    words = list(leaf.path)
    for param in leaf.command.params:
        if param.required and param.param_type_name == "option":
            words.append(param.opts[0])
        if param.required:
            own = f"{leaf.name} {param.name}"
            words.append(values.get(own) or values[param.name])
    return [*words, *more.get(leaf.name, ())]


def _loaded(command: Any) -> Any:
    return command.load() if isinstance(command, LazyCommand) else command
