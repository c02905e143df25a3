"""What the endpoint does when many ask, or when it cannot ask."""

import asyncio
import threading
from collections.abc import Awaitable, Mapping
from pathlib import Path

import pytest

from broker.agent.http_server import Answer, Request
from broker.webhook import server as module
from broker.webhook.admission import Injection
from broker.webhook.server import Webhook

BODY = (Path(__file__).parent / "reviews" / "deployment.json").read_bytes()


class Accounts:
    """A cluster that answers when it may."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked = threading.Semaphore(0)

    def find_annotations(self, _namespace: str, _name: str) -> Mapping[str, str]:
        self.asked.release()
        assert self.gate.wait(20)
        return {}


async def review(webhook: Webhook) -> int:
    found = webhook.answer(Request("POST", "/mutate", {}, BODY))
    answer = await found if isinstance(found, Awaitable) else found
    assert isinstance(answer, Answer)
    return answer.status


async def test_reviews_that_wait_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING_MAX", 2)
    accounts = Accounts()
    webhook = Webhook(
        Injection(sts_endpoint="https://broker.example.com"),
        accounts,  # type: ignore[arg-type]
    )
    try:
        waiting = [asyncio.create_task(review(webhook)) for _ in range(2)]
        for _ in waiting:
            assert await asyncio.to_thread(accounts.asked.acquire, timeout=20)
        # The failure policy decides about this one.
        assert await review(webhook) == 503
        accounts.gate.set()
        assert await asyncio.gather(*waiting) == [200, 200]
        assert await review(webhook) == 200
    finally:
        accounts.gate.set()
        webhook.close()
