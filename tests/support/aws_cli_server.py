"""Run by the Python of an AWS CLI: a command for each line of its input.

A line is JSON: the command's words, its environment, and the files for what it prints
on either stream. The answer is a line with its exit status.
"""

import json
import os
import sys

import awscli.handlers  # noqa: F401  # everything that a command may need
from awscli.clidriver import main

_SET_BY_THE_IMPORT = {
    name: value for name, value in os.environ.items() if name == "AWS_DATA_PATH"
}


def _be_the_command(
    words: list[str], environment: dict[str, str], out: str, errors: str
) -> None:
    for number, path in ((0, os.devnull), (1, out), (2, errors)):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment | _SET_BY_THE_IMPORT)
    sys.argv = ["aws", *words]
    sys.exit(main())


for line in sys.stdin:
    child = os.fork()
    if not child:
        _be_the_command(*json.loads(line))
    _, status = os.waitpid(child, 0)
    os.write(1, f"{os.waitstatus_to_exitcode(status)}\n".encode())
