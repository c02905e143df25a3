"""What an upstream is asked for, by method and definition."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, cast

import jwt
import pytest

from broker.actions.sts.upstream_mint import Engine, UpstreamMinter, UpstreamOrder
from broker.errors import (
    OutboundFederationDisabled,
    UpstreamUnavailable,
    ValidationError,
)
from broker.federation.upstream_client import KeyPair, UpstreamCredentials
from broker.identities.outbound import Outbound, first_keys, with_outbound
from broker.identities.upstream_definition import parse_upstream
from broker.model.account import Account, AccountId
from broker.model.secret import Secret
from broker.model.upstream import Upstream
from broker.sessions.issue_upstream import NothingMintedError
from broker.sessions.tags import SessionTags

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HERE = AccountId("111122223333")
THERE = "arn:aws:iam::999988887777:role/ReadOnly"
TAGS = "https://aws.amazon.com/tags"
PERSON = "https://aws.amazon.com/source_identity"


class Plain:
    """Seals nothing."""

    def seal(self, *place_and_text: Any) -> bytes:
        return cast("bytes", place_and_text[-1])

    def open_sealed(self, *place_and_text: Any) -> bytes:
        return cast("bytes", place_and_text[-1])


@dataclass
class World:
    """The broker's environment, and what the upstream was asked for."""

    session_token: str = ""
    asked: dict[str, str] = field(default_factory=dict)

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
        return UpstreamCredentials(
            access_key_id="ASIATHERE",
            secret_access_key=Secret("secret"),
            session_token=Secret("token"),
            expiration=NOW,
        )


ORDER = UpstreamOrder(
    subject=f"arn:aws:iam::{HERE}:role/ReadOnly",
    principal_arn=f"arn:aws:sts::{HERE}:assumed-role/ReadOnly/somebody",
    session_name="somebody.with.a.long.name@example.com",
    duration_seconds=7200,
    tags=SessionTags({"team": "red", "cost": "7"}, frozenset({"team"})),
    source_identity="alice",
    now=NOW,
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
    role = "" if method == "FederationToken" else THERE
    definition = {
        "Endpoint": "https://sts.example",
        "Method": method,
        "Roles": {"ReadOnly": role},
        **members,
    }
    text = json.dumps(definition)
    upstream = Upstream(
        account=HERE, name="aws", definition=text, created_at=NOW, updated_at=NOW
    )
    engine = Engine(upstream=upstream, definition=parse_upstream(text), role_arn=role)
    account = Account(account_id=HERE, alias=None, session_salt=b"", created_at=NOW)
    if method == "WebIdentity":
        keys = first_keys(HERE, Plain(), NOW)
        account = with_outbound(account, Outbound(enabled=enabled, keys=keys))
    minter = UpstreamMinter(
        cast("Any", None),
        cast("Any", world),
        cast("Any", Plain()),
        world,
        "https://broker",
    )
    await minter.mint(engine, account, order)
    return world.asked


def claims(asked: Mapping[str, str]) -> dict[str, Any]:
    return jwt.decode(asked["WebIdentityToken"], options={"verify_signature": False})


async def test_a_token_is_about_the_role_for_five_minutes() -> None:
    found = claims(await ask(World(), "WebIdentity", Audience="sts.example"))
    assert found["iss"] == f"https://broker/issuer/{HERE}"
    assert found["sub"] == f"arn:aws:iam::{HERE}:role/ReadOnly"
    assert found["aud"] == "sts.example"
    assert found["exp"] - found["iat"] == 300
    assert found["jti"] != claims(await ask(World(), "WebIdentity"))["jti"]


async def test_a_token_has_tags_and_the_person() -> None:
    found = claims(await ask(World(), "WebIdentity"))
    assert found[TAGS] == {
        "principal_tags": {"team": ["red"], "cost": ["7"]},
        "transitive_tag_keys": ["team"],
    }
    assert found[PERSON] == "alice"
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
    assert asked["Name"] == "somebody.with.a.long.name@exampl"
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
    own = f"arn:aws:iam::{HERE}:policy/Read"
    world = World()
    with pytest.raises(NothingMintedError) as caught:
        await ask(world, "AssumeRole", replace(ORDER, policy_arns=(own,)))
    assert isinstance(caught.value.error, ValidationError)
    assert not world.asked
