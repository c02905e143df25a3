"""What all commands share: how they are found, parsed and called by earlier names.

Imports are most of a start, and an AWS SDK starts a `credential_process` again and
again, so a command's module is imported when it is used. What a command means by an
option is in `operator`; what was removed is in `removed`.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

from broker.cli.terminal import say

F = TypeVar("F", bound=Callable[..., Any])

ACCOUNT_FIRST = frozenset(
    {
        *("account root-key", "account root-password", "account rotate-issuer-keys"),
        *("account delete", "account reset-password", "account show", "export"),
    }
)
"""Commands that take the account as their first word as well."""

_ACCOUNT_FIRST_BEFORE = frozenset({"sessions list", "mfa import", "mfa enable-root"})
"""Commands that did so in 0.2."""

_OPTIONS_BEFORE: Mapping[str, Mapping[str, str]] = {
    "audit": {
        "--event": "--request-id",
        "--caller": "--principal",
        "--decision": "--outcome",
    }
}
"""What options were called in 0.2, by command."""


def say_renamed(before: str, now: str) -> None:
    """Say on stderr that a form of the command line goes with the next version."""
    say(f"broker: `{before}` is now `{now}`; this version takes both.", err=True)


class Command(TyperCommand):
    """A command, which may be called as earlier versions had it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401  # click's
        """Parse the words, as they are written today."""
        path: list[str] = []
        level = ctx
        while level.parent is not None:
            path.insert(0, level.info_name)
            level = level.parent
        return super().parse_args(ctx, self._renewed(" ".join(path), args))

    def _renewed(self, path: str, args: list[str]) -> list[str]:
        renamed = _OPTIONS_BEFORE.get(path, {})
        words = []
        for word in args:
            name, equals, value = word.partition("=")
            if name in renamed:
                say_renamed(f"{path} {name}", renamed[name])
                name = renamed[name]
            words.append(f"{name}{equals}{value}")
        takes_account = path in ACCOUNT_FIRST or path in _ACCOUNT_FIRST_BEFORE
        if not takes_account or any(w.partition("=")[0] == "--account" for w in words):
            return words
        positions = self._find_arguments(words)
        arguments = [p for p in self.params if p.param_type_name == "argument"]
        if len(positions) != len(arguments) + 1:
            return words
        account = words.pop(positions[0])
        if path in _ACCOUNT_FIRST_BEFORE:
            say_renamed(f"{path} {account}", f"{path} --account {account}")
        return ["--account", account, *words]

    def _find_arguments(self, words: Sequence[str]) -> list[int]:
        """Where words are that are no option and no option's value."""
        with_value = {
            name
            for param in self.params
            if param.param_type_name == "option"
            and not getattr(param, "is_flag", False)
            for name in param.opts
        }
        positions: list[int] = []
        is_value = False
        for number, word in enumerate(words):
            if not is_value and not (word.startswith("-") and word != "-"):
                positions.append(number)
            is_value = not is_value and word in with_value
        return positions


class CommandApp(typer.Typer):
    """A group of commands; all are of one class."""

    def command(self, name: str | None = None, **params: Any) -> Callable[[F], F]:  # noqa: ANN401  # typer's
        """Add a command."""
        return super().command(name, cls=Command, **params)


class CommandPlace(NamedTuple):
    """Where a command is, and the first line of its help.

    Those by which earlier versions called a command are hidden.
    """

    module: str
    attribute: str
    summary: str
    is_hidden: bool = False


class LazyCommand(TyperCommand):
    """A command known by its name and summary until it is used."""

    def __init__(self, name: str, place: CommandPlace) -> None:
        super().__init__(name, help=place.summary, hidden=place.is_hidden)
        self._place = place

    def make_context(self, *params: Any, **more: Any) -> Any:  # noqa: ANN401  # click's
        """Import the command, which parses the rest of the command line itself."""
        return self.load().make_context(*params, **more)

    def load(self) -> Any:  # noqa: ANN401  # a click command
        """The command itself."""
        loaded = getattr(import_module(self._place.module), self._place.attribute)
        if isinstance(loaded, typer.Typer):
            return typer.main.get_group(loaded)
        single = CommandApp(add_completion=False)
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
