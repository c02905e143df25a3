"""IAM's actions against a real directory, without the pipeline around them."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from broker.actions.action import Action, Call
from broker.actions.iam import iam_actions
from broker.audit.entry import AuditEntry
from broker.compose.storage import keep_invariants
from broker.model.account import Account, AccountId
from broker.model.principal import Principal
from broker.model.request import Door, RequestContext
from broker.model.sealing import KeyKind, SealingKey, SealingKeys
from broker.model.session import Caller
from broker.permit.need import Need
from broker.permit.rates import RateLimits
from broker.proofs.attempts import Attempts
from broker.runtime.clock import Clock, SystemClock
from broker.sessions import keys as rules
from broker.sessions.keyring import Keyring, begin_keys, settle_keyring
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache
from broker.stores.database import Database
from broker.stores.directory import kinds
from broker.stores.directory.accounts import insert_account, update_account
from broker.stores.directory.sql import SqlDirectory
from broker.stores.errors import StoreUnavailableError
from broker.stores.urls import SqliteLocation
from tests.support.clocks import SteppedClock
from tests.support.raw import raw_request
from tests.support.tables import lay_tables_at

ACCOUNT = AccountId("123456789012")
OTHER = AccountId("210987654321")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

RAW = raw_request(source_ip="127.0.0.1")


def trust(principal: object = "*", *, action: str = "sts:AssumeRole") -> str:
    """A trust policy for one AWS principal, or for another ``Principal`` mapping."""
    named = principal if isinstance(principal, dict) else {"AWS": principal}
    return policy({"Effect": "Allow", "Principal": named, "Action": action})


def policy(*statements: Mapping[str, object]) -> str:
    """A policy of these statements; without any it allows ``s3:GetObject``."""
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    return json.dumps(
        {"Version": "2012-10-17", "Statement": list(statements) or [allow]}
    )


@dataclass
class Iam:
    """One account's administrator: ``await iam("GetRole", RoleName="R")``."""

    directory: SqlDirectory
    vault: Vault
    actions: Mapping[str, Action]
    caller: Caller
    now: datetime = NOW
    door: Door = Door.API

    def as_caller(self, caller: Caller) -> "Iam":
        return Iam(self.directory, self.vault, self.actions, caller, self.now)

    def tick(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    async def __call__(self, name: str, **params: Any) -> Any:
        action = self.actions[name]
        call = self._call(action)
        await action.needs(params, call)
        if action.prepare is not None:
            call.prepared = await action.prepare(params, call)
        if not action.writes:
            return await action.handle(params, call)
        async with self.directory.change(call.account) as change:
            call.directory = call.opened = change
            return await action.handle(params, call)

    async def need(self, name: str, **params: Any) -> Need:
        """The one permission that a call needs."""
        (need,) = await self.needs(name, **params)
        return need

    async def needs(self, name: str, **params: Any) -> tuple[Need, ...]:
        """Every permission that a call needs."""
        return await self.actions[name].needs(params, self._call(self.actions[name]))

    def _call(self, action: Action) -> Call:
        request = RequestContext(
            request_id="r", raw=RAW, door=self.door, now=self.now, region="us-east-1"
        )
        return Call(
            request=request,
            now=request.now,
            action=action,
            region=request.region,
            record=AuditEntry.of(request, ""),
            rates=UNLIMITED,
            directory=self.directory,
            caller=self.caller,
        )


class NoCache:
    """A cache that is away: whoever counts, counts alone."""

    async def count(self, *_: object, **__: object) -> int:
        raise StoreUnavailableError("away")


def make_keyring(path: Path, clock: Clock) -> Keyring:
    """The keyring of a new database, as its first start makes it."""
    identity, keys = begin_keys(path, clock.now(), None, ())
    settle_keyring(path, keys)
    return Keyring(path, identity, keys, clock)


def read_keys(keyring: Keyring, clock: Clock, keys: SealingKeys) -> None:
    """As if the keyring's poll had found these keys in the database."""
    keyring.install(keys, clock.monotonic())


def rotate_keys(keyring: Keyring, clock: Clock, kind: KeyKind) -> SealingKey:
    """A rotation, as another process makes it; the key that it added."""
    skew, now = timedelta(seconds=60), clock.now()
    keys = rules.rotate(keyring.keys, kind, now, skew, keyring.wrapper)
    read_keys(keyring, clock, keys)
    return keys[-1]


def revoke_key(keyring: Keyring, clock: Clock, number: int) -> None:
    """A revocation, as another process makes it."""
    read_keys(
        keyring, clock, rules.revoke(keyring.keys, number, clock.now(), keyring.wrapper)
    )


@asynccontextmanager
async def open_iam(path: Path) -> AsyncIterator[Iam]:
    """An administrator (root) of `ACCOUNT`; `OTHER` is there too. ``path`` is made."""
    lay_tables_at(path)
    clock = SteppedClock(NOW)
    directory = SqlDirectory(
        Database(SqliteLocation(path)), clock, keep_invariants(clock)
    )
    vault = Vault(make_keyring(path.with_suffix(".keys"), clock), clock)
    for account in (ACCOUNT, OTHER):
        async with directory.change(account) as change:
            await insert_account(
                change,
                Account(
                    account_id=account,
                    alias=None,
                    session_salt=bytes(32),
                    created_at=NOW,
                ),
            )
    actions = iam_actions(
        vault,
        lambda account, host, port: (
            (account, host, port) == (ACCOUNT, "127.0.0.1", 8097)
        ),
        Attempts(cast("Cache", NoCache()), clock),
        metadata_http_hosts=(),
    )
    try:
        yield Iam(
            directory,
            vault,
            {action.name: action for action in actions},
            Caller(principal=Principal.root(ACCOUNT)),
        )
    finally:
        await directory.close()


async def set_quotas(iam: Iam, **quotas: int) -> None:
    """Give the account quotas of its own."""
    account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    async with iam.directory.change(ACCOUNT) as change:
        await update_account(
            change,
            Account(
                account_id=ACCOUNT,
                alias=account.alias,
                session_salt=account.session_salt,
                created_at=account.created_at,
                quotas=quotas,
            ),
        )


UNLIMITED = RateLimits(NoCache(), SystemClock(), calls_per_second=0)  # type: ignore[arg-type]  # it is never asked
