"""``python -m benchmarks [policy|saml|http|flood …]``: print the figures.

With ``--scale`` the large installation is as large as the budget speaks of; with
``--before=FOLDER`` the broker of another check-out stands beside this one in ``http``.
"""

import platform
import sys
from importlib import import_module

PARTS = (
    "budget",
    "policy",
    "saml",
    "console",
    "writes",
    "invariants",
    "http",
    "decisions",
    "agent",
    "flood",
    "holds",
    "upstreams",
    "workers",
    "scale",
)


def main() -> None:
    wanted = [word for word in sys.argv[1:] if not word.startswith("--")] or PARTS
    print(f"Python {platform.python_version()} on {platform.machine()}")
    for part in wanted:
        print(f"\n{part}")
        for label, text in import_module(f"benchmarks.{part}").run():
            print(f"  {label:<60} {text}")


main()
