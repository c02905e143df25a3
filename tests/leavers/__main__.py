"""``python -m tests.leavers``: fills the whole table and writes `docs/operating/leavers.md`.

It fails where a cell is not what it must be, and says which. ``--row TEXT`` tries the
rows whose names contain a text, prints them, and writes nothing.
"""

import argparse
import sys

from broker.cli.terminal import say
from tests.leavers.long import run


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--row", default="", help="part of the names of rows")
    faults = run(parser.parse_args().row)
    say(*faults)
    return len(faults)


if __name__ == "__main__":
    sys.exit(main())
