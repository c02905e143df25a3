"""The ``broker`` command, also as ``python -m broker``."""

import os
import sys

from broker.cli.removed import find_replacement


def run() -> None:
    """Run the command line.

    The agent is a small program of its own: none of the others' imports come with it.
    """
    _open_closed_streams()
    if (replacement := find_replacement(sys.argv[1:])) is not None:
        sys.exit(f"broker: {replacement}")
    if sys.argv[1:2] == ["agent"]:
        from broker.agent.main import find_order  # noqa: PLC0415  # see above
        from broker.agent.main import run as run_agent  # noqa: PLC0415

        if (order := find_order(sys.argv[2:])) is not None:
            sys.exit(run_agent(order))
    from broker.cli.main import run as run_command  # noqa: PLC0415  # see above

    run_command()


def _open_closed_streams() -> None:
    """Open what the process was started without of stdin, stdout and stderr.

    Otherwise nothing can be printed, and a database's file or a connection gets the
    number of a standard stream, and with it what a library prints there.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free number: the stream's own. Workers inherit it.
            number = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(number, True)  # noqa: FBT003  # positional only
            setattr(sys, name, os.fdopen(number, mode))


if __name__ == "__main__":
    run()
