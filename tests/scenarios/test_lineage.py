"""What is revoked ends with all that came from it, at every worker within a second."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.scenarios.installation import SAML_PROVIDER, Installation, policy, trust
from tests.support.broker import ACCOUNT, Key
from tests.support.machine_agent import add_profile, broker_client
from tests.support.machines import public_text
from tests.support.oidc_issuer import serving
from tests.support.storage import STORAGES, broker_on

PROMISED_SECONDS = 1.0
ENOUGH = 6
"""Connections of their own: both workers are asked."""

OTHER, DOOMED = "210987654323", "210987654325"
NOBODY = Key("none", "none")
ASSUMING = policy(["sts:*", "iam:Get*", "iam:List*"])


def make_role(iam: Any, name: str, *accounts: str) -> None:
    """A role that these accounts may assume, and that may assume any."""
    everybody = [f"arn:aws:iam::{account}:root" for account in accounts]
    iam.create_role(
        RoleName=name,
        AssumeRolePolicyDocument=trust(({"AWS": everybody}, "sts:AssumeRole", None)),
    )
    iam.put_role_policy(RoleName=name, PolicyName="All", PolicyDocument=ASSUMING)


class World:
    """Two accounts whose roles may assume each other, and a user with a key."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.broker = installation.broker
        self.iam = installation.iam
        self.other_iam = self.broker.client("iam", self.broker.create_account(OTHER))
        self.doomed_iam = self.broker.client("iam", self.broker.create_account(DOOMED))
        for iam, name in (
            (self.iam, "First"),
            (self.other_iam, "Second"),
            (self.iam, "Third"),
        ):
            make_role(iam, name, ACCOUNT, OTHER, DOOMED)
        self.iam.create_user(UserName="alice")
        self.iam.put_user_policy(
            UserName="alice", PolicyName="All", PolicyDocument=ASSUMING
        )
        self.iam.put_role_policy(
            RoleName="Reader", PolicyName="Assume", PolicyDocument=ASSUMING
        )
        made = self.iam.create_access_key(UserName="alice")["AccessKey"]
        self.alice = Key.of(made)
        time.sleep(PROMISED_SECONDS)

    def assume(self, key: Key, role: str, account: str = ACCOUNT) -> Key:
        role_arn = f"arn:aws:iam::{account}:role/{role}"
        answer = self.call(key, "assume_role", RoleArn=role_arn, RoleSessionName="job")
        return Key.of(answer["Credentials"])

    def narrow(self, key: Key) -> Key:
        answer = self.call(key, "get_scoped_credentials", DurationSeconds=900)
        return Key.of(answer["Credentials"])

    def call(self, key: Key, operation: str, **params: object) -> Any:
        """One call on a connection of its own."""
        client = self.broker.client("sts", key)
        try:
            return getattr(client, operation)(**params)
        finally:
            client.close()

    def signin_token(self, key: Key) -> str:
        session = {
            "sessionId": key.access_key_id,
            "sessionKey": key.secret_access_key,
            "sessionToken": key.session_token,
        }
        answer = httpx2.get(
            f"{self.broker.url}/federation",
            params={"Action": "getSigninToken", "Session": json.dumps(session)},
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["SigninToken"])

    def login(self, token: str) -> dict[str, str]:
        """The cookies of a browser that followed a sign-in link."""
        with httpx2.Client(follow_redirects=True) as browser:
            browser.get(
                f"{self.broker.url}/federation",
                params={
                    "Action": "login",
                    "SigninToken": token,
                    "Destination": f"{self.broker.url}/console/",
                },
            )
            return dict(browser.cookies)

    def is_in(self, cookies: dict[str, str]) -> bool:
        page = httpx2.get(f"{self.broker.url}/console/", cookies=cookies)
        return page.status_code == 200 and "Sign out" in page.text

    def outcomes(self, key: Key, operation: str = "get_caller_identity") -> set[str]:
        params = {"DurationSeconds": 900} if "scoped" in operation else {}
        results = set()
        for _ in range(ENOUGH):
            try:
                self.call(key, operation, **params)
                results.add("ok")
            except ClientError as error:
                results.add(error.response["Error"]["Code"])
        return results

    def audited(self, *words: str) -> set[tuple[str, str]]:
        """Action and key of the records that a search finds."""
        lines = self.broker.command("audit", "--json", *words).splitlines()
        records = map(json.loads, lines)
        return {(record["action"], record["access_key_id"]) for record in records}

    def revoke(self, *target: str) -> None:
        self.broker.command("sessions", "revoke", *target)
        time.sleep(PROMISED_SECONDS)


@pytest.fixture(scope="module", params=STORAGES)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("broker")
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        with broker_on(
            request.param, folder, internal_issuers=internal, workers=2, start=False
        ) as broker:
            # It is an issuer that its own accounts may trust.
            own = f"{internal},127.0.0.1:{broker.port}"
            broker.environment["BROKER_INTERNAL_ISSUERS"] = own
            broker.start()
            yield World(Installation(broker, issuer))


def test_what_a_session_may_do_and_tries_is_on_record(world: World) -> None:
    """Also what it tries once it has ended, if it was the session that signed."""
    narrow = policy("sts:GetCallerIdentity")
    params = {
        "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/First",
        "RoleSessionName": "nightly",
        "Policy": narrow,
    }
    answer = world.call(world.alice, "assume_role", **params)
    key = Key.of(answer["Credentials"])
    assert world.outcomes(key) == {"ok"}
    view = json.loads(world.broker.command("sessions", "show", key.access_key_id))
    assert view["policies"] == [narrow]
    assert narrow in world.broker.command("explain", view["minted_by"])
    assert world.audited("--session-name", "nightly") == {
        ("sts:AssumeRole", world.alice.access_key_id),
        ("sts:GetCallerIdentity", key.access_key_id),
    }
    world.revoke(key.access_key_id)
    guess = Key(key.access_key_id, "x" * 40, key.session_token)
    assert world.outcomes(guess) == {"ExpiredToken"}
    refused = ("--key", key.access_key_id, "--outcome", "refused")
    assert world.audited(*refused) == set()
    time.sleep(1)  # of one address, few refusals a second are recorded
    assert world.outcomes(key) == {"ExpiredToken"}
    assert world.audited(*refused, "--account", ACCOUNT) == {
        ("sts:GetCallerIdentity", key.access_key_id)
    }


def test_a_revoked_session_ends_what_came_from_it_through_every_door(
    world: World,
) -> None:
    first = world.assume(world.alice, "First")
    second = world.assume(first, "Second", OTHER)
    third = world.assume(second, "Third")
    family = [second, third, world.narrow(first), world.narrow(third)]
    sibling = world.assume(world.alice, "First")
    inside = world.login(world.signin_token(second))
    token = world.signin_token(third)
    assert world.is_in(inside)
    for key in family:
        assert world.outcomes(key) == {"ok"}

    world.revoke(first.access_key_id)

    for key in (first, *family):
        assert world.outcomes(key) == {"ExpiredToken"}
    assert world.outcomes(third, "get_scoped_credentials") == {"ExpiredToken"}
    assert not world.is_in(inside)
    assert not world.is_in(world.login(token))
    assert world.outcomes(sibling) == {"ok"}
    view = json.loads(world.broker.command("sessions", "show", third.access_key_id))
    assert [entry["access_key_id"] for entry in view["lineage"]["made_from"]] == [
        first.access_key_id,
        second.access_key_id,
    ]
    assert view["lineage"]["began_with"]["access_key_id"] == (world.alice.access_key_id)
    assert view["state"] == "revoked"
    listed = world.broker.command("sessions", "list", "--account", OTHER, "--json")
    assert second.access_key_id not in listed


def test_a_users_mark_reaches_other_accounts_and_a_deactivated_key_does_not(
    world: World,
) -> None:
    iam, made = world.iam, world.iam.create_user(UserName="leaver")["User"]
    iam.put_user_policy(UserName="leaver", PolicyName="All", PolicyDocument=ASSUMING)
    key = Key.of(iam.create_access_key(UserName="leaver")["AccessKey"])
    time.sleep(PROMISED_SECONDS)
    role = world.assume(world.assume(key, "First"), "Second", OTHER)
    iam.update_access_key(
        UserName="leaver", AccessKeyId=key.access_key_id, Status="Inactive"
    )
    time.sleep(PROMISED_SECONDS)
    assert world.outcomes(key) == {"InvalidClientTokenId"}
    assert world.outcomes(role) == {"ok"}
    world.revoke(made["Arn"])
    assert world.outcomes(role) == {"ExpiredToken"}


def vouched_for(world: World) -> tuple[Key, Key]:
    """A session through the SAML provider, and one of another account from it."""
    first = Key.of(world.installation.saml()["Credentials"])
    return first, world.assume(first, "Second", OTHER)


def test_a_subject_and_a_provider_end_by_name(world: World) -> None:
    answer = world.installation.saml()
    first = Key.of(answer["Credentials"])
    second = world.assume(first, "Second", OTHER)
    by_token = Key.of(world.installation.web_identity()["Credentials"])
    world.revoke(
        *(ACCOUNT, "--issuer", answer["Issuer"], "--subject", answer["Subject"])
    )
    for key in (first, second):
        assert world.outcomes(key) == {"ExpiredToken"}
    assert world.outcomes(by_token) == {"ok"}

    first, second = vouched_for(world)
    assert world.outcomes(second) == {"ok"}
    world.revoke("--provider", SAML_PROVIDER)
    for key in (first, second):
        assert world.outcomes(key) == {"ExpiredToken"}

    assert world.outcomes(by_token) == {"ok"}


def test_a_deleted_provider_ends_what_it_vouched_for(world: World) -> None:
    first, second = vouched_for(world)
    provider = world.iam.get_saml_provider(SAMLProviderArn=SAML_PROVIDER)
    world.iam.delete_saml_provider(SAMLProviderArn=SAML_PROVIDER)
    time.sleep(PROMISED_SECONDS)
    for key in (first, second):
        assert world.outcomes(key) == {"ExpiredToken"}
    world.iam.create_saml_provider(
        Name="Corp", SAMLMetadataDocument=provider["SAMLMetadataDocument"]
    )
    time.sleep(PROMISED_SECONDS)
    for key in (first, second):
        assert world.outcomes(key) == {"ExpiredToken"}
    assert world.outcomes(vouched_for(world)[1]) == {"ok"}


@pytest.fixture(scope="module")
def trusting(world: World) -> World:
    """A world in which one account accepts the other's web identity tokens."""
    world.iam.enable_outbound_web_identity_federation()
    issuer = f"{world.broker.url}/issuer/{ACCOUNT}"
    provider = world.other_iam.create_open_id_connect_provider(
        Url=issuer, ClientIDList=["other"]
    )["OpenIDConnectProviderArn"]
    federated = trust(({"Federated": provider}, "sts:AssumeRoleWithWebIdentity", None))
    world.other_iam.create_role(RoleName="Visit", AssumeRolePolicyDocument=federated)
    time.sleep(PROMISED_SECONDS)
    return world


def web_identity_token(world: World, key: Key) -> str:
    answer = world.call(
        *(key, "get_web_identity_token"), Audience=["other"], SigningAlgorithm="RS256"
    )
    return str(answer["WebIdentityToken"])


def visit(world: World, token: str) -> Key:
    """A session that a web identity token of the broker's own opens."""
    answer = world.call(
        *(NOBODY, "assume_role_with_web_identity"),
        RoleArn=f"arn:aws:iam::{OTHER}:role/Visit",
        RoleSessionName="visitor",
        WebIdentityToken=token,
    )
    return Key.of(answer["Credentials"])


def test_a_web_identity_token_that_comes_back_has_brought_its_lineage(
    trusting: World,
) -> None:
    world, first = trusting, trusting.assume(trusting.alice, "First")
    token = web_identity_token(world, first)
    visiting = visit(world, token)
    assert world.outcomes(visiting) == {"ok"}
    world.revoke(first.access_key_id)
    assert world.outcomes(visiting) == {"ExpiredToken"}
    with pytest.raises(ClientError, match="ExpiredTokenException"):
        visit(world, token)


def test_tokens_end_with_the_key_or_the_role_that_made_them(trusting: World) -> None:
    world, iam = trusting, trusting.iam
    admitting = policy(["sts:*", "broker:CreateJoinToken", "iam:PassRole"])
    add_profile(iam, "machines")
    make_role(iam, "Maker", ACCOUNT)
    iam.put_role_policy(RoleName="Maker", PolicyName="All", PolicyDocument=admitting)
    iam.create_user(UserName="maker")
    iam.put_user_policy(UserName="maker", PolicyName="All", PolicyDocument=admitting)
    made = iam.create_access_key(UserName="maker")["AccessKey"]
    key, key_id = (
        Key.of(made),
        {"UserName": "maker", "AccessKeyId": made["AccessKeyId"]},
    )
    time.sleep(PROMISED_SECONDS)
    role = world.assume(key, "Maker")
    session = Key.of(world.call(key, "get_session_token")["Credentials"])
    federated = Key.of(
        world.call(key, "get_federation_token", Name="bob", Policy=admitting)[
            "Credentials"
        ]
    )

    def join_token(maker: Key) -> str:
        client = broker_client(world.broker, maker)
        return str(client.create_join_token(InstanceProfileName="machines")["Token"])

    def joined(token: str) -> str:
        machine = public_text(Ed25519PrivateKey.generate())
        client = broker_client(world.broker, NOBODY)
        try:
            client.register_instance(JoinToken=token, PublicKey=machine)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "ok"

    def opened(token: str) -> str:
        try:
            visit(world, token)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "ok"

    by_key = [join_token(entry) for entry in (key, session, federated)]
    by_role = [join_token(role) for _ in "12"]
    view = {entry: web_identity_token(world, entry) for entry in (key, role)}
    assert [opened(token) for token in view.values()] == ["ok", "ok"]

    iam.update_access_key(**key_id, Status="Inactive")
    time.sleep(PROMISED_SECONDS)
    assert [joined(token) for token in by_key] == ["InvalidClientTokenId"] * 3
    assert opened(view[key]) == "ExpiredTokenException"
    # As in AWS, a role that was assumed with the key goes on, and so does what it made.
    assert (joined(by_role[0]), opened(view[role])) == ("ok", "ok")

    iam.delete_access_key(**key_id)
    iam.delete_user_policy(UserName="maker", PolicyName="All")
    iam.delete_user(UserName="maker")
    iam.delete_role_policy(RoleName="Maker", PolicyName="All")
    iam.delete_role(RoleName="Maker")
    time.sleep(PROMISED_SECONDS)
    assert [joined(token) for token in (*by_key, by_role[1])] == (
        ["InvalidClientTokenId"] * 4
    )
    assert opened(view[role]) == "ExpiredTokenException"


def test_a_deleted_account_ends_what_came_from_it(world: World) -> None:
    make_role(world.doomed_iam, "Second", ACCOUNT)
    time.sleep(PROMISED_SECONDS)
    here = world.assume(world.assume(world.alice, "Second", DOOMED), "First")
    assert world.outcomes(here) == {"ok"}
    world.broker.command("account", "delete", DOOMED, "--yes")
    time.sleep(PROMISED_SECONDS)
    assert world.outcomes(here) == {"ExpiredToken"}
