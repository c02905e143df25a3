"""The ``broker`` command, also as ``python -m broker``."""

import sys


def run() -> None:
    """Run the command line.

    The agent and the webhook are small programs of their own: none of the others'
    imports come with them.
    """
    if sys.argv[1:2] == ["agent"]:
        from broker.agent.main import run as run_agent  # noqa: PLC0415  # see above

        sys.exit(run_agent(sys.argv[2:]))
    if sys.argv[1:2] == ["webhook"]:
        from broker.webhook.main import run as run_webhook  # noqa: PLC0415  # see above

        sys.exit(run_webhook(sys.argv[2:]))
    from broker.cli.main import run as run_command  # noqa: PLC0415  # see above

    run_command()


if __name__ == "__main__":
    run()
