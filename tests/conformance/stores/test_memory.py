"""What the hot path remembers is never older than a change of the same worker."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.model.account import format_access_key_id
from broker.model.entities import KeyStatus, LoginProfile
from broker.model.revocation import Revocation
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.directory.freshness import Freshness
from broker.stores.directory.port import DirectoryChange
from broker.stores.directory.sql import SqlDirectory
from tests.conformance.stores.test_directory import (
    ACCOUNT,
    AT,
    make_account,
    make_key,
    make_oidc,
    make_role,
    make_saml,
    make_user,
)

USER = make_user("ann")
ROLE = make_role("reader")
KEY = make_key(format_access_key_id("AKIA", ACCOUNT, 1), USER.user_id)
SAML = make_saml("idp")
OIDC = make_oidc("https://idp.example.com/x")
PROFILE = LoginProfile(
    account=ACCOUNT, user_id=USER.user_id, sealed=b"1", created_at=AT, changed_at=AT
)

Change = Callable[[DirectoryChange], Awaitable[object]]
CHANGES: dict[str, Change] = {
    "account": lambda to: to.update_account(make_account(alias="other")),
    "user": lambda to: to.update_user(replace(USER, path="/new/")),
    "role": lambda to: to.update_role(replace(ROLE, path="/new/")),
    "key": lambda to: to.update_access_key(replace(KEY, status=KeyStatus.INACTIVE)),
    "profile": lambda to: to.update_login_profile(replace(PROFILE, sealed=b"2")),
    "saml": lambda to: to.update_saml_provider(replace(SAML, metadata="<new/>")),
    "oidc": lambda to: to.update_oidc_provider(replace(OIDC, client_ids=("c",))),
    "revocation": lambda to: to.revoke(
        Revocation(
            account=ACCOUNT,
            target=ROLE.role_id,
            not_before_ms=1,
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )
    ),
    "no user": lambda to: to.delete_user(USER),
    "no role": lambda to: to.delete_role(ROLE),
    "no key": lambda to: to.delete_access_key(KEY),
    "no profile": lambda to: to.delete_login_profile(PROFILE),
    "no saml": lambda to: to.delete_saml_provider(SAML),
    "no oidc": lambda to: to.delete_oidc_provider(OIDC),
    "no account": lambda to: to.delete_account(ACCOUNT),
}


async def look(directory: Any) -> list[object]:
    """All that is remembered, as a directory or the memory of it tells it."""
    return [
        await directory.find_account(ACCOUNT),
        await directory.find_role(ACCOUNT, "READER"),
        await directory.find_role_by_id(ACCOUNT, ROLE.role_id),
        await directory.find_user_by_id(ACCOUNT, USER.user_id),
        await directory.find_login_profile(ACCOUNT, USER.user_id),
        await directory.find_access_key(KEY.access_key_id),
        await directory.find_saml_provider(ACCOUNT, SAML.name),
        await directory.find_oidc_provider(ACCOUNT, "idp.example.com/x"),
        await directory.revocations(ACCOUNT),
    ]


@pytest.fixture
async def fresh(directory: SqlDirectory, clock: Any) -> FreshDirectory:
    """Everything is there, and remembered."""
    async with directory.change(ACCOUNT) as change:
        await change.insert_account(make_account())
        await change.insert_user(USER)
        await change.insert_role(ROLE)
        await change.insert_access_key(KEY)
        await change.insert_login_profile(PROFILE)
        await change.insert_saml_provider(SAML)
        await change.insert_oidc_provider(OIDC)
    memory = Freshness(directory, clock)
    directory.on_commit(memory.observed)
    fresh = FreshDirectory(directory, memory)
    assert await look(fresh) == await look(directory)
    assert None not in await look(fresh)
    return fresh


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_is_seen_at_once_where_it_was_made(
    directory: SqlDirectory, fresh: FreshDirectory, name: str
) -> None:
    before = await look(fresh)
    async with directory.change(ACCOUNT) as change:
        await CHANGES[name](change)
    assert await look(fresh) == await look(directory) != before


async def test_what_another_change_left_alone_is_not_read_again(
    directory: SqlDirectory, fresh: FreshDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with directory.change(ACCOUNT) as change:
        await change.insert_user(make_user("bob"))

    async def read(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(directory, "find_access_key", read)
    monkeypatch.setattr(directory, "find_account", read)
    assert await fresh.find_access_key(KEY.access_key_id) == KEY
    assert await fresh.find_account(ACCOUNT) == make_account()
