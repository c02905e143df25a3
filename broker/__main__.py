"""``python -m broker``: the same as the ``broker`` command."""

from broker.cli.main import run

run()
