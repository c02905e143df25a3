"""``broker webhook``, where it was not dispatched before the command line was imported."""

from typing import Annotated

import typer

from broker.webhook.main import run


def webhook(
    words: Annotated[
        list[str] | None, typer.Argument(help="See: python -m broker webhook --help")
    ] = None,
) -> None:
    """Configure the pods of a Kubernetes cluster so that their SDKs find their roles."""
    raise typer.Exit(run(words or []))
