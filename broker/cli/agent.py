"""``broker agent``: its help, and what is said to mistakes.

What is written without a mistake never comes here: `broker.__main__` starts the agent,
which is a small program of its own.
"""

from pathlib import Path
from typing import Annotated

import typer

from broker.agent.configuration import DEFAULT_PATH
from broker.cli.commands import CommandApp

ConfigOption = Annotated[
    Path, typer.Option(metavar="FILE", help="The agent's settings.")
]

app = CommandApp(invoke_without_command=True)


@app.callback()
def _serve_by_default(context: typer.Context) -> None:
    """Provide a machine's credentials to the programs on it.

    Without a command it serves.
    """
    if context.invoked_subcommand is None:
        _run("serve", DEFAULT_PATH)


@app.command()
def serve(config: ConfigOption = DEFAULT_PATH) -> None:
    """Keep credentials fresh, and hand them to programs by all that is configured."""
    _run("serve", config)


@app.command()
def check(config: ConfigOption = DEFAULT_PATH) -> None:
    """Check the settings, the machine and the broker, and report problems."""
    _run("check", config)


@app.command()
def process(config: ConfigOption = DEFAULT_PATH) -> None:
    """Print credentials once, for `credential_process` in a profile."""
    _run("process", config)


def _run(command: str, config: Path) -> None:
    # Imported here: help and mistakes need none of it.
    from broker.agent.main import Order, run  # noqa: PLC0415

    raise typer.Exit(run(Order(command, config)))
