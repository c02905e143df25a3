"""Mint, derive, chain, revoke, delete, rotate, in three accounts and at every door.

A model of what must be alive runs beside a whole broker on a real database. After each
step: no live session has a revoked ancestor, and nothing is dead without a reason. A
one-time proof mints once. No factor is removed without a factor.
"""

import asyncio
import itertools
import json
import tempfile
import uuid
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)
from msgspec.structs import replace

from broker.errors import (
    AccessDenied,
    ExpiredToken,
    InsufficientSessionLifetime,
    InvalidClientTokenId,
    ValidationError,
)
from broker.model.account import Account, AccountId, format_access_key_id
from broker.model.entities import AccessKey, InlinePolicy, KeyStatus, Role, User
from broker.model.principal import Principal
from broker.model.secret import Secret
from broker.model.session import Caller
from broker.sessions.lineage import KEPT
from broker.sessions.record import describe_session
from broker.sessions.revoke import revoke_issued_before, revoke_session
from broker.sessions.seal import SessionSealer
from broker.stores.directory import kinds
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.identities import insert_access_key
from broker.stores.directory.kinds import ACCESS_KEY, ROLE, USER
from broker.stores.directory.policies import put_inline_policy
from tests.support.calls import perform, told
from tests.support.deleted_meanwhile import delete_account
from tests.support.effort import examples
from tests.support.passwords import Phone, give_device
from tests.support.raw import raw_request
from tests.support.signin import (
    ACCOUNT,
    SignInWorld,
    login_url,
    open_world,
    pair,
    provider_arn,
    role_arn,
)

EVERYTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    }
)
RAW = raw_request(method="POST", source_ip="127.0.0.1")
ENDED = (ExpiredToken, InvalidClientTokenId)
CHAIN = 10
"""Longer than what a token names one by one."""

WHICH = st.sampled_from((0, 0, 1, 2))
_numbers = itertools.count(1)


@dataclass(eq=False)
class Node:
    """A session as the model knows it, or the user's key, which has no parent."""

    account: AccountId
    parent: "Node | None" = None
    credentials: Any = None
    issued: datetime | None = None
    ends: datetime | None = None
    tied_to_key: bool = False
    shown: bool = False
    revoked: bool = False

    @property
    def line(self) -> "list[Node]":
        line, node = [], self
        while True:
            line.append(node)
            if node.parent is None:
                return line
            node = node.parent


class Lineages(RuleBasedStateMachine):
    """See the module."""

    sessions: Bundle[Node] = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.nodes: list[Node] = []
        self.gone: set[AccountId] = set()
        self.key_active = True

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        self.run(self.stack.aclose())
        self.runner.close()

    @initialize()
    def set_up(self) -> None:
        self.run(self._set_up())

    async def _set_up(self) -> None:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.world: SignInWorld = await self.stack.enter_async_context(
            open_world(Path(folder))
        )
        number = next(_numbers)
        self.accounts = [
            ACCOUNT,
            *(AccountId(f"7{number:05d}{which:06d}") for which in (1, 2)),
        ]
        now = self.world.clock.now()
        for account in self.accounts:
            async with self.world.services.stores.directory.change(account) as change:
                if account != ACCOUNT:
                    await insert_account(
                        change,
                        Account(
                            account_id=account,
                            alias=None,
                            session_salt=uuid.uuid4().bytes * 2,
                            created_at=now,
                        ),
                    )
                role = Role(
                    account=account,
                    role_id=f"AROA{account}CHAIN",
                    name="Chain",
                    path="/",
                    trust_policy=_open_trust(self.accounts),
                    created_at=now,
                )
                await change.insert(ROLE, role)
                await put_inline_policy(change, _all(account, role.role_id))
        self.user = User(
            account=ACCOUNT,
            user_id="AIDAMACHINEMACHINEMAC",
            name="alice",
            path="/",
            created_at=now,
        )
        self.key_row = AccessKey(
            account=ACCOUNT,
            access_key_id=format_access_key_id("AKIA", ACCOUNT, number),
            user_id=self.user.user_id,
            status=KeyStatus.ACTIVE,
            sealed_secret=b"unused",
            created_at=now,
        )
        async with self.world.services.stores.directory.change(ACCOUNT) as change:
            await change.insert(USER, self.user)
            await insert_access_key(change, self.key_row)
            await put_inline_policy(change, _all(ACCOUNT, self.user.user_id))
        self.phones = [await self._phone(), await self._phone()]
        self.root = Node(ACCOUNT)

    async def _phone(self) -> Phone:
        name = f"phone-{next(_numbers)}"
        return await give_device(self.world, self.user.user_id, name)

    # What people and programs do.

    @rule(target=sessions, how=st.sampled_from(("role", "role", "session", "federation")), which=WHICH, with_mfa=st.booleans())  # fmt: skip
    def mint_by_key(self, how: str, which: int, with_mfa: bool) -> Any:
        if not self.key_active:
            return multiple()
        params: dict[str, Any] = {}
        if with_mfa and how != "federation":
            self.world.clock.move(31)
            phone = self.phones[0]
            params = {"SerialNumber": phone.serial, "TokenCode": phone.code(self.world)}
        account = self.accounts[which] if how == "role" else ACCOUNT
        match how:
            case "role":
                params |= _role(account)
                name = "AssumeRole"
            case "session":
                name = "GetSessionToken"
            case _:
                params |= {"Name": "lent", "Policy": EVERYTHING}
                name = "GetFederationToken"
        if account in self.gone:
            return multiple()
        made = self.run(self._perform(self._key_caller(), "sts", name, params))
        return self._add(
            made, self.root, account, tied=how != "role", shown="TokenCode" in params
        )

    @rule(target=sessions, node=sessions, which=WHICH)
    def chain(self, node: Node, which: int) -> Any:
        account = self.accounts[which]
        if account in self.gone or node.tied_to_key or not node.credentials:
            return multiple()
        made = self._derive(node, "sts", "AssumeRole", _role(account))
        return multiple() if made is None else self._add(made, node, account)

    @rule(target=sessions, node=sessions)
    def chain_for_long(self, node: Node) -> Any:
        """A role that assumes itself again and again, until tokens fold it."""
        made: list[Node] = []
        for _ in range(CHAIN):
            self.world.clock.move(1)
            stored_node = self.chain_one(made[-1] if made else node)
            if stored_node is None:
                break
            made.append(stored_node)
        return multiple(*made)

    def chain_one(self, node: Node) -> Node | None:
        if node.tied_to_key or self.accounts[1] in self.gone:
            return None
        answer = self._derive(node, "sts", "AssumeRole", _role(self.accounts[1]))
        return None if answer is None else self._add(answer, node, self.accounts[1])

    @rule(target=sessions, node=sessions)
    def narrow(self, node: Node) -> Any:
        params = {"DurationSeconds": 60}
        made = self._derive(node, "sts", "GetScopedCredentials", params)
        if made is None:
            return multiple()
        return self._add(made, node, node.account, tied=node.tied_to_key)

    @rule(target=sessions, node=sessions)
    def sign_in_with_a_link(self, node: Node) -> Any:
        """A sign-in token, and its console; a second use of it opens nothing."""
        token = node.credentials["SessionToken"]
        asked = {"SessionToken": Secret(token)}
        made = self._derive(node, "signin", "GetSigninToken", asked, refusals=True)
        if made is None:
            return multiple()
        opened = [self.run(self._log_in(made["SigninToken"])) for _ in range(2)]
        assert opened == [True, False]
        return multiple()

    @rule(target=sessions, node=sessions)
    def renew_a_login(self, node: Node) -> Any:
        """As a terminal's login does: each renewal is made from the same session."""
        params = {
            "ClientId": "c",
            "GrantType": "refresh_token",
            "EndMarks": (),
            "Family": Secret(""),
        }
        made = self._derive(node, "signin", "CreateOAuth2Token", params)
        if made is None:
            return multiple()
        again = self._derive(node, "signin", "CreateOAuth2Token", params)
        return multiple(
            *(
                self._add(entry, node, node.account, tied=node.tied_to_key)
                for entry in (made, again)
            )
        )

    @rule(target=sessions)
    def spend_an_assertion(self) -> Any:
        answers = self.run(self._assert_twice())
        assert [status for status, _ in answers] == [200, 400]
        return multiple()

    # What ends sessions.

    @rule(node=sessions, back=st.integers(0, 2 * CHAIN))
    def revoke(self, node: Node, back: int) -> None:
        """A session, or one that it came from, whether that lives or not."""
        line = node.line[:-1]
        ended = line[min(back, len(line) - 1)]
        self.run(self._revoke(ended))
        ended.revoked = True

    @rule(
        what=st.sampled_from(("user", "key", "switch", "account", "time")),
        unlikely=st.integers(0, 3),
    )
    def end(self, what: str, unlikely: int) -> None:
        if unlikely:
            return
        match what:
            case "user":
                self._mark(self.user.user_id)
            case "key":
                self._mark(self.key_row.access_key_id)
            case "switch":
                self.run(self._switch_the_key())
            case "account" if self.accounts[2] not in self.gone:
                self.run(self._delete(self.accounts[2]))
            case _:
                self.world.clock.move(1200)

    async def _switch_the_key(self) -> None:
        """AWS's own rule: its session and federation tokens alone depend on it."""
        self.key_active = not self.key_active
        status = KeyStatus.ACTIVE if self.key_active else KeyStatus.INACTIVE
        async with self.world.services.stores.directory.change(ACCOUNT) as change:
            await change.update(ACCESS_KEY, replace(self.key_row, status=status))

    async def _delete(self, account: AccountId) -> None:
        async with self.world.services.stores.directory.change(account) as change:
            await delete_account(change, account)
        self.gone.add(account)

    # Second factors.

    @rule(node=sessions)
    def remove_a_factor(self, node: Node) -> None:
        if node.account != ACCOUNT or not self._is_alive(node):
            return
        serial = self.phones[1].serial
        params = {"UserName": "alice", "SerialNumber": serial}
        try:
            self.run(
                self._perform(self._caller(node), "iam", "DeactivateMFADevice", params)
            )
        except (AccessDenied, InvalidClientTokenId):
            assert not any(entry.shown for entry in node.line) or node.tied_to_key
        else:
            assert any(entry.shown for entry in node.line)
            self.phones[1] = self.run(self._phone())

    # What holds after each step.

    @invariant()
    def what_lives_is_what_has_no_ended_ancestor(self) -> None:
        results = [self.run(self._resolves(node)) for node in self.nodes]
        assert results == [self._is_alive(node) for node in self.nodes]

    # How it is done.

    def _is_alive(self, node: Node) -> bool:
        assert node.ends is not None
        if node.tied_to_key and not self.key_active:
            return False
        return (
            self.world.clock.now() < node.ends
            and not any(entry.revoked for entry in node.line)
            and not any(entry.account in self.gone for entry in node.line)
            and not self._is_folded_with_a_revoked_one(node)
        )

    def _is_folded_with_a_revoked_one(self, node: Node) -> bool:
        """Whether a session of the same beginning was issued while it folded some."""
        first, *others = node.line[1:-1][::-1] or [node]
        folded = [each.issued for each in others[:-KEPT] if each.issued]
        return bool(folded) and any(
            each.revoked and each.issued and min(folded) <= each.issued <= max(folded)
            for each in self.nodes
            if each.line[-2] is first
        )

    def _add(
        self,
        answer: Any,
        parent: Node,
        account: AccountId,
        *,
        tied: bool = False,
        shown: bool = False,
    ) -> Node:
        credentials = answer["Credentials"]
        node = Node(
            account=account,
            parent=parent,
            credentials=credentials,
            issued=self.world.clock.now(),
            ends=credentials["Expiration"],
            tied_to_key=tied,
            shown=shown,
        )
        self.nodes.append(node)
        return node

    def _derive(
        self,
        node: Node,
        service: str,
        name: str,
        params: dict[str, Any],
        *,
        refusals: bool = False,
    ) -> Any:
        """What a session makes; None when it may not (any more)."""
        self.world.clock.move(0.01)
        alive = self._is_alive(node)
        try:
            answer = self.run(self._perform(self._caller(node), service, name, params))
        except ENDED:
            assert not alive
            return None
        except (AccessDenied, InsufficientSessionLifetime, ValidationError):
            # AWS's rules of which credentials may call what, and for how long.
            assert refusals or node.tied_to_key or name == "GetScopedCredentials"
            return None
        assert alive
        return answer

    def _key_caller(self) -> Caller:
        self.world.clock.move(0.01)
        return Caller(
            principal=Principal.user(
                ACCOUNT, user_id=self.user.user_id, path="/", name="alice"
            ),
            access_key_id=self.key_row.access_key_id,
        )

    def _caller(self, node: Node) -> Coroutine[Any, Any, Caller]:
        return self._resolve(node)

    async def _resolve(self, node: Node) -> Caller:
        session = await self.world.services.resolver.resolve(
            node.credentials["AccessKeyId"],
            node.credentials["SessionToken"],
            self.world.clock.now(),
        )
        return session.caller

    async def _resolves(self, node: Node) -> bool:
        try:
            await self._resolve(node)
        except ENDED:
            return False
        return True

    async def _perform(
        self,
        caller: Caller | Coroutine[Any, Any, Caller],
        service: str,
        name: str,
        params: dict[str, Any],
    ) -> Any:
        proved = caller if isinstance(caller, Caller) else await caller
        services = self.world.services
        return await perform(
            services,
            services.registry.get(service, name),
            params,
            told(proved),
            raw=RAW,
            request_id=str(uuid.uuid4()),
        )

    async def _log_in(self, token: str) -> bool:
        browser = self.world.browser()
        answer = await browser.get(login_url(token))
        return answer.status_code == 302

    async def _assert_twice(self) -> list[tuple[int, str]]:
        browser = self.world.browser()
        form = {
            "Action": "AssumeRoleWithSAML",
            "Version": "2011-06-15",
            "RoleArn": role_arn("Reader"),
            "PrincipalArn": provider_arn(),
            "SAMLAssertion": self.world.response(pair("Reader")),
        }
        answers = [await browser.post("/", data=form) for _ in range(2)]
        return [(answer.status_code, answer.text) for answer in answers]

    async def _revoke(self, node: Node) -> None:
        """By what is on record, whether it lives or not."""
        services = self.world.services
        account = node.account
        if account in self.gone:
            return
        opened = SessionSealer(services.keyring).open(
            node.credentials["AccessKeyId"],
            node.credentials["SessionToken"],
            account=account,
            account_salt=(await self._account(account)).session_salt,
            now=self.world.clock.now(),
        )
        record = describe_session(opened.session, "arn")
        async with services.stores.directory.change(account) as change:
            await revoke_session(change, record, now=self.world.clock.now())

    async def _account(self, account: AccountId) -> Account:
        stored_account = await self.world.services.fresh.find(kinds.ACCOUNT, account)
        assert stored_account is not None
        return stored_account

    def _mark(self, target: str) -> None:
        """End what was made with the user's key up to now."""

        async def mark() -> None:
            directory = self.world.services.stores.directory
            async with directory.change(ACCOUNT) as change:
                await revoke_issued_before(
                    change, account=ACCOUNT, target=target, now=self.world.clock.now()
                )

        self.run(mark())
        for node in self.nodes:
            if node.parent is self.root:
                node.revoked = True
        self.world.clock.move(0.01)


def _role(account: AccountId) -> dict[str, Any]:
    return {"RoleArn": role_arn("Chain", account), "RoleSessionName": "machine"}


def _open_trust(accounts: list[AccountId]) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{account}:root" for account in accounts]},
        "Action": "sts:AssumeRole",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def _all(account: AccountId, owner_id: str) -> InlinePolicy:
    return InlinePolicy(
        account=account, owner_id=owner_id, name="all", document=EVERYTHING
    )


TestLineages = Lineages.TestCase
TestLineages.settings = settings(
    max_examples=examples(10),
    stateful_step_count=30,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
