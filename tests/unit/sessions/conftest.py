from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from broker.audit.entry import AuditEntry
from broker.compose.storage import Stores, open_stores
from broker.model.account import Account, AccountId
from broker.model.entities import AccessKey, KeyStatus, Role, User
from broker.model.session import Session, SessionKind
from broker.runtime.bounded import CacheMemory
from broker.sessions.issue import MintOrder, MintResult, SessionIssuer
from broker.sessions.keyring import Keyring
from broker.sessions.record import SessionIndex
from broker.sessions.resolve import ResolvedSession, Resolver
from broker.sessions.seal import SessionSealer
from broker.stores.directory import kinds
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.freshness import Freshness
from broker.stores.directory.identities import insert_access_key
from broker.stores.directory.readings import FreshDirectory
from tests.support.clocks import SteppedClock
from tests.support.iam import make_keyring
from tests.support.mints import mint_order
from tests.support.tables import lay_tables_at

ACCOUNT = AccountId("123456789012")
SALT = bytes(range(32))
START = datetime(2026, 9, 11, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(START)


@pytest.fixture
def keyring(tmp_path: Path, clock: SteppedClock) -> Keyring:
    return make_keyring(tmp_path / "keyring.json", clock)


@pytest.fixture
def session() -> Session:
    return Session(
        access_key_id="ASIARZPUZDIKAAAACAQD",
        account=ACCOUNT,
        kind=SessionKind.WEB_IDENTITY,
        principal_id="AROAABCDEFGHIJKLMNOPQ",
        name="app-session",
        issued_at_ms=int(START.timestamp() * 1000),
        expires_at=int(START.timestamp()) + 3600,
        provider_arn="arn:aws:iam::123456789012:oidc-provider/idp.example.com",
        provider_id="OIDCPABCDEFGHIJKLMNOP",
        identity_context={"idp.example.com:sub": ("alice",)},
        tags={"Team": "blue"},
        transitive_keys=frozenset({"Team"}),
    )


@pytest.fixture
def account_id() -> AccountId:
    return ACCOUNT


@pytest.fixture
def salt() -> bytes:
    return SALT


@pytest.fixture
def counting() -> Callable[[int], bytes]:
    """Bytes that differ from call to call and are the same in every run."""
    calls = iter(range(1, 250))
    return lambda count: bytes([next(calls)]) * count


ROLE = Role(
    account=ACCOUNT,
    role_id="AROAABCDEFGHIJKLMNOPQ",
    name="Deploy",
    path="/ci/",
    trust_policy="{}",
    created_at=START,
    tags={"team": "green", "Stage": "prod"},
)
USER = User(
    account=ACCOUNT,
    user_id="AIDAABCDEFGHIJKLMNOPQ",
    name="alice",
    path="/",
    created_at=START,
    tags={"Stage": "test"},
)
KEY = AccessKey(
    account=ACCOUNT,
    access_key_id="AKIARZPUZDIKAAAACAQD",
    user_id=USER.user_id,
    status=KeyStatus.ACTIVE,
    sealed_secret=b"sealed",
    created_at=START,
)


class World(Struct):
    """A worker on a real embedded database, with an account, a role and a user."""

    clock: SteppedClock
    stores: Stores
    keyring: Keyring
    sealer: SessionSealer
    index: SessionIndex
    issuer: SessionIssuer
    directory: FreshDirectory
    resolver: Resolver
    memory: CacheMemory
    """What the resolver remembers of opened tokens."""

    mints: int = 0

    def order(self, **members: Any) -> MintOrder:
        whole: dict[str, Any] = {
            "account": ACCOUNT,
            "account_salt": SALT,
            "kind": SessionKind.ASSUME_ROLE,
            "principal_id": ROLE.role_id,
            "principal_arn": "arn:aws:sts::123456789012:assumed-role/Deploy/job",
            "name": "job",
            "now": self.clock.now(),
            "duration_seconds": 3600,
        }
        return mint_order(**{**whole, **members})

    def record(self) -> AuditEntry:
        self.mints += 1
        return AuditEntry(
            event_id=f"event-{self.mints}",
            at=self.clock.now(),
            account=ACCOUNT,
            door="api",
            action="sts:AssumeRole",
            source_ip="",
            user_agent="",
        )

    async def mint(self, **members: Any) -> MintResult:
        return await self.issuer.issue(self.order(**members), self.record())

    async def resolve(self, minted: MintResult) -> ResolvedSession:
        return await self.resolver.resolve(
            minted.credentials.access_key_id,
            minted.credentials.session_token.reveal(),
            self.clock.now(),
        )


@pytest.fixture
async def world(
    tmp_path: Path, clock: SteppedClock, keyring: Keyring
) -> AsyncIterator[World]:
    lay_tables_at(tmp_path / "broker.db")
    stores = await open_stores(
        f"sqlite:///{tmp_path}/broker.db", clock=clock, spool_folder=tmp_path / "spool"
    )
    freshness = Freshness(stores.directory, clock)
    stores.directory.on_commit(freshness.observed)
    async with stores.directory.change(ACCOUNT) as change:
        await insert_account(
            change,
            Account(
                account_id=ACCOUNT, alias=None, session_salt=SALT, created_at=START
            ),
        )
        await change.insert(kinds.ROLE, ROLE)
        await change.insert(kinds.USER, USER)
        await insert_access_key(change, KEY)
    memory = CacheMemory()
    sealer, index = SessionSealer(keyring), SessionIndex(stores.cache)
    directory = FreshDirectory(freshness)
    yield World(
        clock=clock,
        stores=stores,
        keyring=keyring,
        sealer=sealer,
        index=index,
        issuer=SessionIssuer(sealer, stores.ledger, index),
        directory=directory,
        resolver=Resolver(sealer, directory, index, memory),
        memory=memory,
    )
    await index.settle()
    await freshness.close()
    await stores.close()
