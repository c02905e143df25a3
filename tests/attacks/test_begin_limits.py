"""Sign-ins that strangers begin: each costs something, so there are only so many."""

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import httpx2 as httpx
import pytest
from msgspec.structs import replace

from broker.actions.signin import begin_limits
from broker.actions.signin.begin_limits import PER_ADDRESS
from broker.actions.sts.upstream_mint import UpstreamMinter
from broker.errors import UpstreamRefused
from broker.kinds.accounts import require_account
from broker.kinds.upstreams import put_upstream
from broker.model.upstream import UpstreamOrigin
from broker.proofs.upstream_client import KeyPair
from broker.stores.cache.port import SessionRecord
from broker.stores.directory.kinds import ROLE, SAML_PROVIDER
from tests.support import portal
from tests.support.signin import ACCOUNT, SignInWorld, open_world
from tests.unit.console.signin.test_command_line import Terminal

PROVIDER = f"SAMLSP{ACCOUNT}AAAA"
SAML = f"/signin/{ACCOUNT}/with/{PROVIDER}"
LOGIN, AUTHORIZE = "/v1/authorize", "/authorize"


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SignInWorld]:
    async with open_world(tmp_path) as made:
        async with made.services.stores.directory.change(ACCOUNT) as change:
            provider = await change.named(SAML_PROVIDER, ACCOUNT, "Corp")
            assert provider is not None
            await change.update(
                SAML_PROVIDER, replace(provider, options={"SignIn": True})
            )
        made.clock.stop()
        yield made


def from_address(world: SignInWorld, address: str) -> httpx.AsyncClient:
    client = httpx.AsyncClient(
        transport=httpx.ASGITransport(app=world.app, client=(address, 50_000)),
        base_url=world.services.settings.public_origin,
    )
    world.browsers.append(client)
    return client


async def query_of(world: SignInWorld, path: str) -> dict[str, str]:
    if path == LOGIN:
        return Terminal(world, world.browser()).wanted()
    if path == AUTHORIZE:
        return (await portal.Terminal(world).register()).authorize_query()
    return {}


def kept(world: SignInWorld) -> int:
    path = world.services.settings.data_dir / "broker.db"
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute(
            "SELECT count(*) FROM cache_entries WHERE space IN"
            " ('sign-in', 'login-request', 'portal-client', 'portal-waiting')"
        ).fetchone()
    return int(count)


@pytest.mark.parametrize("path", [SAML, LOGIN, AUTHORIZE, f"/portal/{ACCOUNT}"])
async def test_an_address_begins_only_so_many(world: SignInWorld, path: str) -> None:
    query = await query_of(world, path)

    async def begin(client: httpx.AsyncClient) -> int:
        return (await client.get(path, params=query)).status_code

    flood = from_address(world, "2001:db8::1")
    answers = [await begin(flood) for _ in range(PER_ADDRESS + 5)]
    assert answers == [303] * PER_ADDRESS + [429] * 5
    assert kept(world) == PER_ADDRESS
    neighbour = from_address(world, "2001:db8::2")  # of the same network
    assert await begin(neighbour) == 429
    assert await begin(from_address(world, "192.0.2.7")) == 303
    world.clock.move(1)
    assert await begin(flood) == 303


async def test_an_address_has_an_upstream_asked_only_so_often(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever knows an access key id, which is no secret, can try the others."""
    asked: list[str] = []

    async def refuse(_minter: object, _engine: object, keys: KeyPair, *_: int) -> str:
        asked.append(keys.access_key_id)
        raise UpstreamRefused("no")

    monkeypatch.setattr(UpstreamMinter, "signin_token", refuse)
    directory, now = world.services.stores.directory, world.clock.now()
    definition = {
        "Endpoint": "https://sts.example",
        "Roles": {"Reader": "arn:aws:iam::999988887777:role/ReadOnly"},
    }
    async with directory.change(ACCOUNT) as change:
        account = await require_account(change, ACCOUNT)
        await put_upstream(change, account, "aws", json.dumps(definition), now)
        role = await change.named(ROLE, ACCOUNT, "Reader")
        assert role is not None
    record = SessionRecord(
        access_key_id="ASIATHERE",
        account=ACCOUNT,
        kind="AssumeRole",
        principal_arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/Reader/alice",
        principal_id=role.role_id,
        issued_at_ms=int(now.timestamp() * 1000),
        expires_at=int(now.timestamp()) + 3600,
        upstream=UpstreamOrigin(name="aws", endpoint="https://sts.example"),
    )
    await world.services.stores.cache.put_session(record)
    session = {"sessionId": "ASIATHERE", "sessionKey": "x", "sessionToken": "y"}
    form = {"Action": "getSigninToken", "Session": json.dumps(session)}
    flood = from_address(world, "192.0.2.1")
    pages = [await flood.post("/federation", data=form) for _ in range(15)]
    assert len(asked) == PER_ADDRESS
    limited = [page for page in pages if "Too many sign-ins" in page.text]
    assert len(limited) == 5
    for page in limited:
        assert (page.status_code, page.headers["retry-after"]) == (429, "1")
        assert "Please try again in a moment" in page.text
        assert "did not work" not in page.text
    await from_address(world, "192.0.2.2").post("/federation", data=form)
    assert len(asked) == PER_ADDRESS + 1


async def test_many_addresses_together_begin_only_so_many(
    world: SignInWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(begin_limits, "OF_ALL", 20)
    crowd = [from_address(world, f"192.0.2.{number}") for number in range(5)]
    answers = [
        (await client.get(SAML)).status_code for client in crowd for _ in range(8)
    ]
    # The first two take what there is for all; the next two a second each beyond.
    beyond = [303] * 2 + [429] * 6
    assert answers == [303] * 16 + [303] * 6 + [429] * 2 + beyond * 2
    late = await from_address(world, "192.0.2.99").get(SAML)
    assert late.status_code == 303


async def test_proofs_without_anything_good_beside_them_leave_no_trace(
    world: SignInWorld,
) -> None:
    terminal = Terminal(world, world.browser())
    for _ in range(3):
        assert (await terminal.redeem("nonsense")).status_code == 401
        assert (await terminal.renew("nonsense.nonsense")).status_code == 401
    path = world.services.settings.data_dir / "broker.db"
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute(
            "SELECT count(*) FROM cache_entries WHERE space = 'dpop-jti'"
        ).fetchone()
    assert kept == (0,)
