"""Every value of a question replaced by others: no face fails, and none says yes by it."""

import copy
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.broker import Key
from tests.support.decisions import ACCOUNT, AskingService
from tests.support.in_process import ORIGIN, in_process
from tests.support.rows import of_file
from tests.support.versitygw import DEFINITION, Gateway

ODD: list[object] = [
    *(None, True, 0, -1, 1.5, 10**30, "", "*", "x" * 3000, "\x00", "a\r\nb", "\ud800"),
    *([], {}, [None], [[]], ["x"] * 300, {"a": {"b": []}}, "arn:aws:iam::*:user/*"),
    *("arn:aws:iam::444455556666:user/alice", "${aws:username}", "../alice", "a:b"),
]
EVALUATION: dict[str, Any] = {
    "subject": {"type": "user", "id": "alice", "properties": {"a": 1}},
    "action": {"name": "GetObject", "properties": {"b": 1}},
    "resource": {"type": "aws", "id": "arn:aws:s3:::secret/1"},
    "context": {"aws:SourceIp": "10.0.0.1", "s3:prefix": ["a"]},
}
QUESTIONS: dict[str, dict[str, Any]] = of_file(__file__, "QUESTIONS")
PRIVATE: dict[str, dict[str, Any]] = of_file(__file__, "PRIVATE")


def variants(body: object) -> Iterator[object]:
    """The body with each of its values replaced, and each of its members left out."""
    for path in list(_paths(body)):
        for odd in ODD:
            changed = copy.deepcopy(body)
            _set(changed, path, odd)
            yield changed


def _paths(body: object, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(body, dict | list):
        items = body.items() if isinstance(body, dict) else enumerate(body)
        for name, value in items:
            yield (*before, name)
            yield from _paths(value, (*before, name))


def _set(body: Any, path: tuple[Any, ...], value: object) -> None:
    for name in path[:-1]:
        body = body[name]
    body[path[-1]] = value


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[AskingService]:
    async with in_process(tmp_path, trusted_proxies="127.0.0.1/32") as broker:
        made = AskingService(broker, await broker.create_account(ACCOUNT), "s3")
        await made.register(DEFINITION)
        await made.make_token()
        deny = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
                {
                    "Effect": "Deny",
                    "Action": "s3:*",
                    "Resource": "arn:aws:s3:::secret/*",
                },
            ],
        }
        await made.make_user("alice", deny)
        yield made


async def test_no_question_makes_a_face_fail(service: AskingService) -> None:
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {service.token}",
    }
    asked = 0
    for path, question in QUESTIONS.items():
        for body in variants(question):
            answer = await service.broker.http.post(
                ORIGIN + path, content=json.dumps(body).encode(), headers=headers
            )
            assert answer.status_code in {200, 400}, (path, body, answer.text)
            asked += 1
    assert asked > 1000


async def test_no_question_makes_the_gateways_face_fail(service: AskingService) -> None:
    statement = {"Effect": "Allow", "Action": "broker:*", "Resource": "*"}
    key: Key = await service.make_user(
        "gateway", {"Version": "2012-10-17", "Statement": statement}
    )
    gateway = Gateway(key, "127.0.0.1:8080", now=service.broker.clock.now)
    for operation, question in PRIVATE.items():
        path = f"/private/{operation}"
        for body in variants(question):
            content = json.dumps(body).encode()
            answer = await service.broker.http.post(
                ORIGIN + path,
                content=content,
                headers={**gateway.sign(path, content), "X-Forwarded-Proto": "https"},
            )
            assert answer.status_code in {200, 400, 403}, (body, answer.text)
            assert answer.headers["x-vgw-private-protocol"] == "1"
            assert "derivedKey" not in answer.text
