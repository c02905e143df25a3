"""Loaded by an AWS CLI, as a plugin of version 2: runs the commands of its input.

A line is JSON: the command's words, its environment, and the files for what it prints
on either stream. The answer is a line with its exit status.
"""

import json
import os
import sys
from typing import Any, NoReturn

from awscli.clidriver import main


def awscli_initialize(_hooks: Any) -> NoReturn:
    """Serve until the input ends, instead of running the command that loaded this."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _be_the_command(*json.loads(line))
        _, status = os.waitpid(child, 0)
        os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _be_the_command(
    words: list[str], environment: dict[str, str], out: str, errors: str
) -> NoReturn:
    for number, path in ((0, os.devnull), (1, out), (2, errors)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    # The import has set it, once and for all.
    results = {
        key: value for key, value in os.environ.items() if key == "AWS_DATA_PATH"
    }
    os.environ.clear()
    os.environ.update(environment | results)
    sys.argv = ["aws", *words]
    try:
        status = main()
    except SystemExit as ended:
        status = ended.code
    print(end="", flush=True)  # noqa: T201
    os._exit(status)  # the CLI that loaded this plugin is still below on the stack


if (
    __name__ == "__main__"
):  # for version 1, which would look beside its own modules only
    import awscli.handlers  # noqa: F401  # everything that a command may need

    awscli_initialize(None)
