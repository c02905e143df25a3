"""How calls that come together walk through the pipeline."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from broker.authn.sigv4 import SigningKeys
from broker.authz.guard import Guard
from broker.sessions.issue import SessionIssuer
from tests.support.broker import ACCOUNT, Key
from tests.support.in_process import in_process

CALLS = 3


async def test_calls_that_come_together_take_each_costly_step_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def watch(owner: type, name: str, step: str) -> None:
        work = getattr(owner, name)

        def watched(*args: Any, **given: Any) -> Any:
            steps.append(step)
            return work(*args, **given)

        monkeypatch.setattr(owner, name, watched)

    async with in_process(tmp_path) as broker:
        root = await broker.create_account(ACCOUNT)
        await broker.ask("iam", "CreateUser", root, UserName="kim")
        made = await broker.ask("iam", "CreateAccessKey", root, UserName="kim")
        key = Key.of(made["AccessKey"])

        async def call() -> None:
            await broker.ask("sts", "GetSessionToken", key)

        await call()  # from here on nothing has to be read first
        watch(SigningKeys, "verify", "prove")
        watch(Guard, "require", "permit")
        watch(SessionIssuer, "issue", "do")
        await asyncio.gather(*(call() for _ in range(CALLS)))
    assert steps == ["prove"] * CALLS + ["permit"] * CALLS + ["do"] * CALLS
