"""The command ``broker agent``."""

import asyncio
import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple, TextIO

from broker.agent.broker_api import (
    UNEXPECTED,
    BrokerAwayError,
    BrokerRefusedError,
    cut_after,
    make_api,
)
from broker.agent.check import check
from broker.agent.configuration import (
    DEFAULT_PATH,
    AgentSettings,
    ConfigurationError,
    load_settings,
)
from broker.agent.credentials import V2, Credentials
from broker.agent.identity import IdentityEndedError, IdentityUnusableError
from broker.agent.instance import make_identity
from broker.agent.outputs import process_output
from broker.agent.private_files import read_text
from broker.agent.service import Agent

COMMANDS = ("serve", "check", "process")
_OK = 200
_ANSWER_BYTES_MAX = 65_536
_ANSWER_SECONDS = 4


class Order(NamedTuple):
    """What ``broker agent`` is to do, one of `COMMANDS`, and with which settings."""

    command: str = COMMANDS[0]
    config: Path = DEFAULT_PATH


def find_order(words: Sequence[str]) -> Order | None:
    """What the words after ``broker agent`` ask for; None for help and mistakes.

    The command line proper has both, in `broker.cli.agent`: to start it takes more than
    the agent needs.
    """
    order, left = Order(), [*words]
    has_command = False
    while left:
        word = left.pop(0)
        name, equals, value = word.partition("=")
        if word in COMMANDS and not has_command:
            order, has_command = order._replace(command=word), True
        elif name == "--config" and (equals or left):
            order = order._replace(config=Path(value if equals else left.pop(0)))
        else:
            return None
    return order


def run(order: Order) -> int:
    """Run it; the exit status."""
    work = {"serve": _serve, "check": _check, "process": _process}[order.command]
    try:
        return work(order.config)
    except (
        BrokerAwayError,
        BrokerRefusedError,
        ConfigurationError,
        IdentityEndedError,
        IdentityUnusableError,
    ) as error:
        _say(f"broker agent: {error}", sys.stderr)
        return 1


def _serve(path: Path) -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    asyncio.run(_run(path))
    return 0


async def _run(path: Path) -> None:
    await Agent(path).run()


def _check(path: Path) -> int:
    failures = 0
    for finding in check(path):
        failures += not finding.is_good
        _say(f"{'ok  ' if finding.is_good else 'FAIL'}  {finding.text}")
    return min(failures, 1)


def _process(path: Path) -> int:
    """From the running agent if it has a container endpoint, else directly."""
    settings = load_settings(path)
    asked = _ask_agent(settings)
    if asked is None:
        identity = make_identity(settings, make_api(settings))
        credentials, grant = identity.get_credentials(V2)
        asked = credentials, grant.account
    _say(process_output(*asked))
    return 0


def _ask_agent(settings: AgentSettings) -> tuple[Credentials, str] | None:
    path = settings.container.token_file
    for address in settings.container.listen if path is not None else ():
        connection = HTTPConnection(address.host, address.port, timeout=2)
        try:
            token = read_text(path) if path is not None else ""
            with cut_after(connection, _ANSWER_SECONDS):
                connection.request("GET", "/", headers={"Authorization": token})
                response = connection.getresponse()
                answer = json.loads(response.read(_ANSWER_BYTES_MAX))
            if response.status == _OK:
                params = {**answer, "SessionToken": answer["Token"]}
                return Credentials.of(params, datetime.now(UTC)), str(
                    answer["AccountId"]
                )
        except (OSError, HTTPException, *UNEXPECTED):
            continue
        finally:
            connection.close()
    return None


def _say(text: str, to: TextIO | None = None) -> None:
    # Texts of strangers must not steer the terminal.
    label = "".join(value if value.isprintable() else "?" for value in text)
    (to or sys.stdout).write(f"{label}\n")
