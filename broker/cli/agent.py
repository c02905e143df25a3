"""``broker agent``, where it was not dispatched before the command line was imported."""

from typing import Annotated

import typer

from broker.agent.main import run


def agent(
    what: Annotated[str, typer.Argument(help="serve, check or process.")] = "serve",
    config: Annotated[
        str, typer.Option(metavar="FILE", help="The agent's settings.")
    ] = "",
) -> None:
    """Provide a machine's credentials to the programs on it."""
    raise typer.Exit(run([what, *(("--config", config) if config else ())]))
