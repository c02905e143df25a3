"""A described request that was changed is either refused or means what was signed.

Whatever mutation is made of a request that verified: no other principal, action or
resource comes out of it, and no other body.
"""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Key
from tests.support.decisions import ACCOUNT, ORDERS, READER, AskingService, Signed, sign
from tests.support.in_process import in_process

_ROUNDS = 400
_DEEP_ROUNDS = 20_000
_BODY = b'{"amount": 1}'
_BYTES = "aA0/.%;\\ \t:=&?+,2fF\x00é~*"


def _mutate(text: str, chance: random.Random) -> str:
    """One small change: a character more, less or another, or a piece moved."""
    place = chance.randrange(len(text) + 1)
    match chance.randrange(5):
        case 0:
            return text[:place] + chance.choice(_BYTES) + text[place:]
        case 1:
            return text[:place] + text[place + 1 :]
        case 2:
            return text[:place] + chance.choice(_BYTES) + text[place + 1 :]
        case 3:
            return text[:place] + text[place:].swapcase()
        case _:
            end = min(len(text), place + chance.randrange(1, 8))
            return text[:place] + text[place:end] * 2 + text[end:]


def _mutant(request: Signed, chance: random.Random) -> dict[str, Any]:
    told = request.described()
    match chance.randrange(6):
        case 0:
            told["Method"] = chance.choice(
                ["PUT", "POST", "DELETE", "get", "HEAD", "G"]
            )
        case 1 | 2:
            told["Target"] = _mutate(told["Target"], chance) or "/"
        case 3:
            header = chance.choice(told["Headers"])
            header[1] = _mutate(header[1], chance)
        case 4:
            told["Headers"].append(list(chance.choice(told["Headers"])))
        case _:
            told["Headers"].remove(chance.choice(told["Headers"]))
    return told


def _meaning(answer: dict[str, Any]) -> object:
    """Who does what, and with which body."""
    return (
        answer["Principal"]["Arn"],
        [
            (decision["Action"], decision["Resource"])
            for decision in answer["Decisions"]
        ],
        answer["ContentSha256"],
    )


@pytest.mark.deep
def test_no_mutant_says_something_else(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    rounds = _DEEP_ROUNDS if request.config.getoption("--long") else _ROUNDS

    async def work() -> None:
        async with in_process(tmp_path) as broker:
            service = AskingService(broker, await broker.create_account(ACCOUNT))
            await service.register(
                {**ORDERS, "Routes": [{"Path": "/{id+}", "Action": "GetOrder"}]}
            )
            await service.make_token()
            alice = await service.make_user("alice", READER)
            await _try(service, alice, rounds)

    asyncio.run(work())


async def _try(service: AskingService, alice: Key, rounds: int) -> None:
    chance = random.Random(7)
    signed = (
        sign(alice, "/orders/a%20b"),
        sign(alice, "/orders/7?b=2&a=1"),
        sign(alice, "/orders/7", method="PUT", body=_BODY, s3=True),
        sign(alice, "/orders/7", presigned_seconds=600),
    )
    accepted = 0
    for original in signed:
        meant = await service.ask(Request=original.described())
        assert meant["Allowed"]
        for _ in range(rounds // len(signed)):
            reply = await service.post({"Request": _mutant(original, chance)})
            if reply.status != 200:
                assert reply.status == 400
                continue
            answer = json.loads(reply.body)
            if "Principal" in answer and answer["Decisions"]:
                accepted += 1
                assert _meaning(answer) == _meaning(meant), original
    # Not every change matters: a header that is not signed, or the order of a query.
    assert accepted < rounds / 2
