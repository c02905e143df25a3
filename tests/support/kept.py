"""What is started once for all tests of this process, and ended with the last."""

from contextlib import ExitStack

UNTIL_THE_END = ExitStack()
"""``tests/conftest.py`` closes it."""
