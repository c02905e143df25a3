"""What an upstream is asked for, by method and definition."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

import jwt
import pytest
from msgspec import Struct
from msgspec.structs import replace

from broker.actions.sts.upstream_mint import UpstreamMinter, UpstreamOrder, UpstreamRole
from broker.errors import (
    OutboundFederationDisabled,
    ServiceUnavailable,
    UpstreamRefused,
    UpstreamUnavailable,
    ValidationError,
)
from broker.kinds.outbound import Outbound, first_keys, with_outbound
from broker.kinds.upstream_definition import parse_upstream
from broker.model.account import Account, AccountId
from broker.model.entities import Role
from broker.model.secret import Secret
from broker.model.upstream import Upstream
from broker.proofs.upstream_client import (
    KeyPair,
    UpstreamCredentials,
    UpstreamRefusedError,
)
from broker.sessions.issue_upstream import NothingMintedError
from broker.sessions.tags import SessionTags

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOME = AccountId("111122223333")
THERE = "arn:aws:iam::999988887777:role/ReadOnly"
TAGS = "https://aws.amazon.com/tags"
PERSON = "https://aws.amazon.com/source_identity"


class Plain:
    """Seals nothing."""

    def seal(self, *place_and_text: Any) -> bytes:
        return cast("bytes", place_and_text[-1])

    def open_sealed(self, *place_and_text: Any) -> bytes:
        return cast("bytes", place_and_text[-1])


class World(Struct):
    """The broker's environment, and what the upstream was asked for."""

    session_token: str = ""
    asked: dict[str, str] = {}
    denied: list[tuple[str, str]] = []
    refuses: str = ""
    lacks: str = ""
    seconds_ahead: float = 0

    async def find(self) -> KeyPair:
        return KeyPair(
            access_key_id="AKIAAMBIENT",
            secret_access_key=Secret("secret"),
            session_token=self.session_token,
        )

    async def assume(
        self, _account: str, _url: str, parameters: Mapping[str, str], **_more: Any
    ) -> UpstreamCredentials:
        self.asked = dict(parameters)
        if self.refuses:
            raise UpstreamRefusedError("AccessDenied", self.refuses)
        return UpstreamCredentials(
            access_key_id="ASIATHERE",
            secret_access_key=Secret("secret"),
            session_token=Secret("token"),
            expiration=NOW,
            arn="arn:aws:sts::999988887777:assumed-role/ReadOnly/t",
            seconds_ahead=self.seconds_ahead,
        )

    async def deny_older(
        self, _account: str, _url: str, role: str, policy: str, **_more: Any
    ) -> None:
        if role == self.lacks:
            raise UpstreamRefusedError("NoSuchEntity", f"no {role}")
        self.denied.append((role, policy))


ORDER = UpstreamOrder(
    subject=f"arn:aws:iam::{HOME}:role/ReadOnly",
    principal_arn=f"arn:aws:sts::{HOME}:assumed-role/ReadOnly/somebody",
    session_name="somebody.with.a.long.name@example.com",
    duration_seconds=7200,
    tags=SessionTags({"team": "red", "cost": "7"}, frozenset({"team"})),
    source_identity="alice",
    now=NOW,
)


def engine_of(method: str = "WebIdentity", **members: Any) -> UpstreamRole:
    """An upstream of this method."""
    role = "" if method == "FederationToken" else THERE
    definition = {
        "Endpoint": "https://sts.example",
        "Method": method,
        "Roles": {"ReadOnly": role},
        **members,
    }
    text = json.dumps(definition)
    upstream = Upstream(
        account=HOME, name="aws", definition=text, created_at=NOW, updated_at=NOW
    )
    return UpstreamRole(
        upstream=upstream, definition=parse_upstream(text), role_arn=role
    )


def account_of(*, enabled: bool = True) -> Account:
    """An account with an issuer."""
    account = Account(account_id=HOME, alias=None, session_salt=b"", created_at=NOW)
    keys = first_keys(HOME, Plain(), NOW)
    return with_outbound(account, Outbound(enabled=enabled, keys=keys))


def minter_of(world: World, stored: Any = None) -> UpstreamMinter:
    return UpstreamMinter(
        cast("Any", stored),
        cast("Any", world),
        cast("Any", Plain()),
        world,
        "https://broker",
    )


async def ask(
    world: World,
    method: str,
    order: UpstreamOrder = ORDER,
    *,
    enabled: bool = True,
    **members: Any,
) -> dict[str, str]:
    """What an upstream of this method is asked for."""
    account = account_of(enabled=enabled)
    await minter_of(world).mint(engine_of(method, **members), account, order)
    return world.asked


def claims(asked: Mapping[str, str]) -> dict[str, Any]:
    return jwt.decode(asked["WebIdentityToken"], options={"verify_signature": False})


class Stored:
    """Upstreams by name, as a newer broker may have left them."""

    def __init__(self, **definitions: dict[str, Any]) -> None:
        self._stored = definitions

    async def all_of(self, _: object, _account: AccountId) -> tuple[Upstream, ...]:
        return tuple(
            Upstream(
                account=HOME,
                name=name,
                definition=json.dumps(definition),
                created_at=NOW,
                updated_at=NOW,
            )
            for name, definition in self._stored.items()
        )

    async def find(
        self, kind: object, account: AccountId, name: str
    ) -> Upstream | None:
        every = await self.all_of(kind, account)
        return next((each for each in every if each.name == name), None)


NEWER = {"Endpoint": "https://sts.example", "Roles": {"ReadOnly": THERE}, "New": 1}


@pytest.mark.parametrize(
    ("roles", "name"),
    [({"ReadOnly": THERE}, "known"), ({"*": THERE}, None), ({}, None)],
)
async def test_a_definition_that_cannot_be_read_may_be_for_any_other_role(
    roles: dict[str, str], name: str | None
) -> None:
    """Only one that names the role is surely its own."""
    stored = {"known": {**NEWER, "Roles": roles}} if roles else {}
    stored.get("known", {}).pop("New", None)
    minter = minter_of(World(), Stored(newer=NEWER, **stored))
    role = Role(
        account=HOME,
        role_id="AROA",
        name="ReadOnly",
        path="/",
        trust_policy="{}",
        created_at=NOW,
    )
    if name is None:
        with pytest.raises(ServiceUnavailable) as refused:
            await minter.find(role)
        assert "the upstream newer cannot be read: New" in refused.value.detail
    else:
        upstream_role = await minter.find(role)
        assert upstream_role is not None
        assert upstream_role.upstream.name == name


async def test_a_token_is_about_the_role_for_five_minutes() -> None:
    results = claims(await ask(World(), "WebIdentity", Audience="sts.example"))
    assert results["iss"] == f"https://broker/issuer/{HOME}"
    assert results["sub"] == f"arn:aws:iam::{HOME}:role/ReadOnly"
    assert results["aud"] == "sts.example"
    assert results["exp"] - results["iat"] == 300
    assert results["jti"] != claims(await ask(World(), "WebIdentity"))["jti"]


async def test_a_token_has_tags_and_the_person() -> None:
    results = claims(await ask(World(), "WebIdentity"))
    assert results[TAGS] == {
        "principal_tags": {"team": ["red"], "cost": ["7"]},
        "transitive_tag_keys": ["team"],
    }
    assert results[PERSON] == "alice"
    less = await ask(World(), "WebIdentity", PassesTags=False)
    assert {TAGS, PERSON} & claims(less).keys() == {PERSON}
    less = await ask(World(), "WebIdentity", PassesSourceIdentity=False)
    assert {TAGS, PERSON} & claims(less).keys() == {TAGS}


async def test_an_issuer_that_is_switched_off_signs_nothing() -> None:
    world = World()
    with pytest.raises(NothingMintedError) as caught:
        await ask(world, "WebIdentity", enabled=False)
    assert isinstance(caught.value.error, OutboundFederationDisabled)
    assert not world.asked


async def test_a_role_is_assumed_with_tags_and_the_person() -> None:
    asked = await ask(World(), "AssumeRole")
    assert asked["RoleArn"] == THERE
    assert asked["RoleSessionName"] == ORDER.session_name
    assert asked["SourceIdentity"] == "alice"
    assert asked["TransitiveTagKeys.member.1"] == "team"
    assert asked["Tags.member.2.Value"] == "7"
    less = await ask(World(), "AssumeRole", PassesTags=False)
    assert not [name for name in less if "Tag" in name]
    less = await ask(World(), "AssumeRole", PassesSourceIdentity=False)
    assert "SourceIdentity" not in less


@pytest.mark.parametrize(
    ("session_token", "seconds"), [("", "7200"), ("temporary", "3600")]
)
async def test_a_chained_role_lasts_an_hour(session_token: str, seconds: str) -> None:
    asked = await ask(World(session_token), "AssumeRole")
    assert asked["DurationSeconds"] == seconds


async def test_a_federated_user_has_a_short_name_and_no_transitive_tags() -> None:
    asked = await ask(World(), "FederationToken")
    assert re.fullmatch(r"somebody\.with\.a\.lon=[A-Za-z0-9_-]{12}", asked["Name"])
    longer = replace(ORDER, session_name=f"{ORDER.session_name}.org")
    assert (await ask(World(), "FederationToken", longer))["Name"] != asked["Name"]
    whole = replace(ORDER, session_name="x" * 32)
    assert (await ask(World(), "FederationToken", whole))["Name"] == "x" * 32
    assert asked["Tags.member.1.Key"] == "team"
    assert not [name for name in asked if name.startswith("Transitive")]
    assert "SourceIdentity" not in asked


async def test_a_federated_user_is_not_asked_for_with_temporary_credentials() -> None:
    world = World("temporary")
    with pytest.raises(NothingMintedError) as caught:
        await ask(world, "FederationToken")
    assert isinstance(caught.value.error, UpstreamUnavailable)
    assert "key pair of a user" in caught.value.error.detail
    assert not world.asked


async def test_only_policies_of_aws_are_passed_by_name() -> None:
    managed = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    asked = await ask(World(), "AssumeRole", replace(ORDER, policy_arns=(managed,)))
    assert asked["PolicyArns.member.1.arn"] == managed
    for path in ("", "/:iam::aws:policy/"):
        own = f"arn:aws:iam::{HOME}:policy/{path}Read"
        world = World()
        with pytest.raises(NothingMintedError) as caught:
            await ask(world, "AssumeRole", replace(ORDER, policy_arns=(own,)))
        assert isinstance(caught.value.error, ValidationError)
        assert not world.asked


async def test_a_long_message_of_the_upstream_is_cut() -> None:
    with pytest.raises(NothingMintedError) as caught:
        await ask(World(refuses="x" * 100_000), "WebIdentity")
    match = json.loads(caught.value.error.detail)
    assert match == {"Code": "AccessDenied", "Message": "x" * 900}


CONSOLE = {"SignIn": "https://there/federation", "Console": "https://there/console/"}


@pytest.mark.parametrize(
    ("members", "destination", "said"),
    [
        ({}, "", ["Destination=https%3A%2F%2Fthere%2Fconsole%2F&", "Issuer=here&"]),
        ({}, "https://there/x", ["Destination=https%3A%2F%2Fthere%2Fx&"]),
        ({"Issuer": "https://corp"}, "", ["Issuer=https%3A%2F%2Fcorp&"]),
    ],
)
def test_a_link_to_the_upstreams_console(
    members: dict[str, str], destination: str, said: list[str]
) -> None:
    definition = engine_of(**CONSOLE, **members).definition
    url = minter_of(World()).login_url(definition, "T", "here", destination)
    assert url.startswith("https://there/federation?Action=login&")
    for text in said:
        assert text in url


async def test_an_upstream_without_a_console_gives_no_link() -> None:
    keys = await World().find()
    with pytest.raises(UpstreamRefused, match="has no console"):
        await minter_of(World()).signin_token(engine_of(), keys)


REVOKER = "arn:aws:iam::999988887777:role/BrokerRevocation"


async def test_older_sessions_are_ended_by_a_role_for_it() -> None:
    world = World()
    upstream = engine_of(Revocation={"Role": REVOKER}).upstream
    roles = [THERE, THERE.replace("role/", "role/team/")]
    ending = minter_of(world).end_older_sessions(upstream, account_of(), roles, NOW)
    assert [entry async for entry in ending] == [(arn, None) for arn in roles]
    assert world.asked["RoleArn"] == REVOKER
    assert claims(world.asked)["sub"] == f"arn:aws:iam::{HOME}:upstream/aws"
    assert [role for role, _ in world.denied] == ["ReadOnly", "ReadOnly"]
    (statement,) = json.loads(world.denied[0][1])["Statement"]
    assert statement["Effect"] == "Deny"
    # What was issued within this second, too.
    before = statement["Condition"]["DateLessThan"]["aws:TokenIssueTime"]
    assert before == "2026-11-27T12:00:01.000Z"


@pytest.mark.parametrize(
    ("seconds_ahead", "before"),
    [(-30, "12:00:01"), (45, "12:00:46"), (10_000_000, "12:15:01")],
)
async def test_older_sessions_are_those_by_the_clock_there(
    seconds_ahead: float, before: str
) -> None:
    world = World(seconds_ahead=seconds_ahead)
    upstream = engine_of(Revocation={"Role": REVOKER}).upstream
    ending = minter_of(world).end_older_sessions(upstream, account_of(), [THERE], NOW)
    assert [entry async for entry in ending] == [(THERE, None)]
    assert f'"2026-11-27T{before}.000Z"' in world.denied[0][1]


async def test_a_role_that_is_not_there_holds_up_no_other() -> None:
    world = World(lacks="Gone")
    upstream = engine_of(Revocation={"Role": REVOKER}).upstream
    roles = [THERE.replace("ReadOnly", "Gone"), THERE]
    ending = minter_of(world).end_older_sessions(upstream, account_of(), roles, NOW)
    (_, gone), (_, ended) = [entry async for entry in ending]
    assert isinstance(gone, UpstreamRefused)
    assert ended is None
    assert [role for role, _ in world.denied] == ["ReadOnly"]


async def test_older_sessions_are_not_ended_without_a_role_for_it() -> None:
    world = World()
    ending = minter_of(world).end_older_sessions(
        engine_of().upstream, account_of(), [THERE], NOW
    )
    with pytest.raises(UpstreamRefused, match="has no Revocation"):
        await anext(ending)
    assert not world.asked
    world = World(refuses="no")
    upstream = engine_of(Revocation={"Role": REVOKER}).upstream
    ending = minter_of(world).end_older_sessions(upstream, account_of(), [THERE], NOW)
    with pytest.raises(UpstreamRefused, match="AccessDenied"):
        await anext(ending)
    assert not world.denied
