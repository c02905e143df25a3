"""Upstreams behind roles: a second broker stands for AWS."""

import json
import re
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from botocore.exceptions import ClientError

from tests.scenarios.installation import READER, Installation, policy, trust
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.oidc_issuer import serving
from tests.support.older_cache import Snapshot
from tests.support.servers import find_free_port
from tests.support.upstream import FakeSts, fake_sts, granted, key_id

UPSTREAM_ACCOUNT = "999988887777"
UPSTREAM_ROLE = f"arn:aws:iam::{UPSTREAM_ACCOUNT}:role/ReadOnly"


NAMES = ("Reader", "Refused", "Away", "Unclear", "Keys", "Tokens")
"""Roles of the first broker, each with an upstream of its own."""


@dataclass
class World:
    """A broker, and the one behind it."""

    front: Installation
    upstream: RunningBroker
    upstream_root: Key
    spare: int
    """A port that the broker may reach, and where nothing is at first."""

    other: int
    """Another one."""

    secret: str = ""
    """Of the key pair that the broker has there."""

    def set(self, name: str, **members: Any) -> None:
        definition = {
            "Endpoint": self.upstream.url,
            "Roles": {name: UPSTREAM_ROLE},
            "SignIn": f"{self.upstream.url}/federation",
            "Console": f"{self.upstream.url}/console/",
            **members,
        }
        file = self.front.broker.folder / f"{name}.json"
        file.write_text(json.dumps(definition))
        self.command("set", f"to-{name}", "--account", ACCOUNT, str(file))

    def command(self, *words: str, stdin: str | None = None) -> str:
        return self.front.broker.command("upstreams", *words, stdin=stdin)

    def saml(self, name: str, response: str | None = None) -> dict[str, Any]:
        """Exchange an assertion for a role."""
        arn = role_arn(name)
        response = response or self.front.assertion(arn)
        return self.front.saml(response, RoleArn=arn)

    def there(self, answer: dict[str, Any]) -> str:
        """Who the credentials are, asked where they were made."""
        key = Key.of(answer["Credentials"])
        arn: str = self.upstream.client("sts", key).get_caller_identity()["Arn"]
        return arn


def role_arn(name: str) -> str:
    return READER if name == "Reader" else f"arn:aws:iam::{ACCOUNT}:role/{name}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("upstreams")
    spare, other = find_free_port(), find_free_port()
    with ExitStack() as stack:
        issuer = stack.enter_context(serving("/idp"))
        for name in ("front", "aws"):
            (folder / name).mkdir()
        broker = stack.enter_context(running_broker(folder / "front", start=False))
        upstream = stack.enter_context(
            running_broker(folder / "aws", internal_issuers=f"127.0.0.1:{broker.port}")
        )
        broker.environment["BROKER_INTERNAL_ISSUERS"] = ",".join(
            f"127.0.0.1:{port}" for port in (issuer.port, upstream.port, spare, other)
        )
        broker.environment["BROKER_HOST_ALIASES"] = "signin.aws.amazon.com"
        broker.start()
        front = Installation(broker, issuer)
        front.iam.enable_outbound_web_identity_federation()
        root = upstream.create_account(UPSTREAM_ACCOUNT)
        made = World(front, upstream, root, spare, other)
        _trust(made)
        _set_up(made)
        yield made


def _trust(world: World) -> None:
    """Have the second broker take the first one's tokens, for one role."""
    iam = world.upstream.client("iam", world.upstream_root)
    issuer = f"{world.front.broker.url}/issuer/{ACCOUNT}"
    arn = iam.create_open_id_connect_provider(
        Url=issuer, ClientIDList=["sts.amazonaws.com"]
    )["OpenIDConnectProviderArn"]
    name = issuer.removeprefix("http://")
    iam.create_role(
        RoleName="ReadOnly",
        AssumeRolePolicyDocument=trust(
            (
                {"Federated": arn},
                [
                    "sts:AssumeRoleWithWebIdentity",
                    "sts:TagSession",
                    "sts:SetSourceIdentity",
                ],
                {
                    "StringEquals": {
                        f"{name}:aud": "sts.amazonaws.com",
                        f"{name}:sub": READER,
                    }
                },
            ),
            ({"AWS": UPSTREAM_ACCOUNT}, ["sts:AssumeRole", "sts:TagSession"], None),
        ),
        MaxSessionDuration=7200,
    )
    iam.put_role_policy(
        RoleName="ReadOnly", PolicyName="read", PolicyDocument=policy("iam:List*")
    )


def _set_up(world: World) -> None:
    front = world.front.iam
    trusted = front.get_role(RoleName="Admin")["Role"]["AssumeRolePolicyDocument"]
    for name in NAMES[1:]:
        front.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trusted))
    nobody = UPSTREAM_ROLE.replace("ReadOnly", "Nobody")
    nowhere = f"http://127.0.0.1:{world.spare}"
    world.set("Reader")
    world.set("Refused", Roles={"Refused": nobody})
    world.set("Away", Endpoint=nowhere)
    world.set("Unclear", Endpoint=nowhere)
    world.set("Keys", Method="AssumeRole")
    world.set("Tokens", Method="FederationToken", Roles={"Tokens": ""})
    iam = world.upstream.client("iam", world.upstream_root)
    iam.create_user(UserName="broker")
    iam.put_user_policy(
        UserName="broker",
        PolicyName="assume",
        PolicyDocument=policy(["sts:AssumeRole", "sts:TagSession", "sts:GetFed*"]),
    )
    key = iam.create_access_key(UserName="broker")["AccessKey"]
    for name in ("Keys", "Tokens"):
        world.command(
            *("set", f"to-{name}", "--account", ACCOUNT),
            *("--access-key-id", key["AccessKeyId"]),
            stdin=key["SecretAccessKey"] + "\n",
        )
    world.secret = key["SecretAccessKey"]
    time.sleep(1.2)  # until the worker knows


def test_every_door_of_sts_gives_the_upstreams_credentials(world: World) -> None:
    answer = world.front.web_identity(DurationSeconds=1800)
    there = f"arn:aws:sts::{UPSTREAM_ACCOUNT}:assumed-role/ReadOnly/workload"
    assert answer["AssumedRoleUser"]["Arn"] == there
    assert world.there(answer) == there
    answer = world.front.saml()
    assert world.there(answer).startswith(
        f"arn:aws:sts::{UPSTREAM_ACCOUNT}:assumed-role/ReadOnly/"
    )
    # The keys are the upstream's: this broker does not know them.
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        world.front.identity(answer)
    # Other roles are the broker's own, as before.
    admin = world.front.saml(
        world.front.assertion(f"arn:aws:iam::{ACCOUNT}:role/Admin"),
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/Admin",
    )
    assert f":{ACCOUNT}:" in world.front.identity(admin)["Arn"]


def test_a_session_is_on_record_and_listed(world: World) -> None:
    answer = world.front.web_identity()
    key_id = answer["Credentials"]["AccessKeyId"]
    view = json.loads(world.front.broker.command("sessions", "show", key_id))
    assert "Reader" in json.dumps(view)
    assert answer["Credentials"]["SecretAccessKey"] not in world.front.broker.log
    assert answer["Credentials"]["SessionToken"] not in world.front.broker.log
    lines = world.front.broker.command("audit", "--json", "--limit", "20").splitlines()
    (minted,) = [line for line in lines if key_id in line]
    event = json.loads(minted)["event_id"]
    assert [line for line in lines if event in line] == [minted]


def test_an_assertion_is_spent_once(world: World) -> None:
    response = world.front.assertion()
    world.front.saml(response)
    with pytest.raises(ClientError, match="used before"):
        world.front.saml(response)


def test_our_own_rules_decide_first(world: World) -> None:
    with pytest.raises(ClientError) as refused:
        world.front.web_identity(DurationSeconds=43_200)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    own = world.front.iam.create_policy(
        PolicyName="Own", PolicyDocument=policy("iam:ListUsers")
    )["Policy"]["Arn"]
    with pytest.raises(ClientError, match="does not have"):
        world.front.web_identity(PolicyArns=[{"arn": own}])
    narrowed = world.front.web_identity(Policy=policy("iam:ListRoles"))
    there = world.upstream.client("iam", Key.of(narrowed["Credentials"]))
    assert there.list_roles()["Roles"]
    with pytest.raises(ClientError, match="AccessDenied"):
        there.list_users()


def test_what_the_upstream_refuses_is_not_the_trust_policys_doing(world: World) -> None:
    response = world.front.assertion(role_arn("Refused"))
    for _ in range(2):  # nothing was minted: the proof is good again
        with pytest.raises(ClientError) as refused:
            world.saml("Refused", response)
        error = refused.value.response
        assert error["Error"]["Code"] == "UpstreamRefused"
        assert "AccessDenied" in error["Error"]["Message"]
    request_id = error["ResponseMetadata"]["RequestId"]
    said = world.front.broker.command("explain", request_id)
    assert "Not authorized to perform" in said
    assert f"Here: trust policy and rules of {role_arn('Refused')} allowed it" in said
    assert "There: AccessDenied: " in said
    assert "To do: Check the upstream role's trust policy" in said


def test_an_upstream_that_is_away_costs_no_proof(world: World) -> None:
    response = world.front.assertion(role_arn("Away"))
    for _ in range(2):
        with pytest.raises(ClientError) as refused:
            world.saml("Away", response)
        assert refused.value.response["Error"]["Code"] == "UpstreamUnavailable"
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


ANSWERS = {
    "closes": (None, b""),
    "no XML": (200, b"nothing"),
    "no credentials": (200, b"<AssumeRoleWithWebIdentityResponse/>"),
    "a page": (502, b"<html>bad gateway</html>"),
    "a bomb": (200, b"<a>" * 60_000),
    "too much": (200, b"<a>" + b"x" * 300_000 + b"</a>"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_unclear_outcome_leaves_the_proof_spent(world: World, case: str) -> None:
    response = world.front.assertion(role_arn("Unclear"))
    with fake_sts(world.spare, *ANSWERS[case]), pytest.raises(ClientError) as refused:
        world.saml("Unclear", response)
    error = refused.value.response
    assert error["Error"]["Code"] == "UpstreamOutcomeUnknown", error
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 409
    with pytest.raises(ClientError, match="used before"):
        world.saml("Unclear", response)


def test_a_key_pair_is_sealed_and_assumes_a_role(world: World) -> None:
    assert ":assumed-role/ReadOnly/" in world.there(world.saml("Keys"))
    assert ":federated-user/" in world.there(world.saml("Tokens"))
    view = json.loads(
        world.command("test", "to-Keys", "--account", ACCOUNT, "--role", "Keys")
    )
    assert view["Arn"].endswith("/broker-upstreams-test")
    assert world.secret not in world.command("list", "--json")
    for file in (world.front.broker.folder / "data").glob("broker.db*"):
        assert world.secret.encode() not in file.read_bytes()


def test_a_saml_sign_in_ends_in_the_upstreams_console(world: World) -> None:
    front = world.front
    with httpx2.Client(follow_redirects=True) as browser:
        page = browser.post(
            front.acs,
            data={"SAMLResponse": front.assertion()},
            headers={"accept": "text/html"},
        )
        assert page.status_code == 200, page.text
        (link,) = re.findall(
            r'id="upstream_console" class="[^"]*" href="([^"]*)"', page.text
        )
        url = unescape(link)
        assert url.startswith(f"{world.upstream.url}/federation?Action=login&")
        assert 'http-equiv="refresh"' in page.text
        console = browser.get(url)
        assert console.status_code == 200
        assert str(console.url).startswith(f"{world.upstream.url}/console/")
        assert "ReadOnly" in console.text


def test_a_definition_that_cannot_stand_is_refused(world: World) -> None:
    for members, text in (
        ({"Endpoint": "ftp://x"}, "Endpoint"),
        ({"Roles": {}}, "Roles"),
        ({"Roles": {"Reader": ""}}, "needs the ARN"),
        ({"Console": None, "SignIn": "https://x.example/federation"}, "Console"),
        ({"Surprise": 1}, "Surprise"),
    ):
        with pytest.raises(AssertionError, match=text):
            world.set("bad", **members)
    assert "bad" not in world.command("list")


def test_two_upstreams_cannot_have_one_role(world: World) -> None:
    with pytest.raises(AssertionError, match="belongs to the upstream to-Reader"):
        world.set("second", Roles={"Reader": UPSTREAM_ROLE})


def test_templates_know_upstreams(world: World) -> None:
    text = world.front.broker.command("export", ACCOUNT)
    assert "UpstreamName: to-Reader" in text
    file = Path(world.front.broker.folder) / "account.yaml"
    file.write_text(text)
    said = world.front.broker.command("apply", str(file), "--dry-run")
    assert "to-Reader" not in said


def test_a_revocation_says_that_it_does_not_reach_there(world: World) -> None:
    answer = world.front.web_identity()
    key_id = answer["Credentials"]["AccessKeyId"]
    command = world.front.broker.command
    for target in (key_id, READER):
        said = command("sessions", "revoke", target)
        assert f"\n  {UPSTREAM_ROLE} (to-Reader)\n" in said
        printed = json.loads(said[said.index("{") :])
        assert "aws:TokenIssueTime" in json.dumps(printed)
    view = json.loads(command("sessions", "show", key_id))
    assert (view["state"], view["upstream"]) == ("revoked", "to-Reader")
    time.sleep(1.2)  # until the worker knows
    assert signin_token(world, answer).status_code == 400
    other = world.front.web_identity()
    command("sessions", "revoke", READER)
    time.sleep(1.2)  # until the worker knows
    assert signin_token(world, other).status_code == 400
    assert signin_token(world, world.front.web_identity()).status_code == 200
    admin = f"arn:aws:iam::{ACCOUNT}:role/Admin"
    assert "TokenIssueTime" not in command("sessions", "revoke", admin)
    # A user's sessions may have led to each of them.
    root = world.front.broker.client("sts", world.front.root).get_session_token()
    key_id = root["Credentials"]["AccessKeyId"]
    assert "upstream" not in json.loads(command("sessions", "show", key_id))
    said = command("sessions", "revoke", key_id)
    assert f"{UPSTREAM_ROLE} (to-Reader)" in said
    assert "the user of its federation tokens (to-Tokens)" in said
    assert world.there(answer)


def test_a_revocation_reaches_the_upstream_where_it_may(world: World) -> None:
    iam = world.upstream.client("iam", world.upstream_root)
    for name, subject, allowed in (
        ("Ended", role_arn("Ended"), policy("iam:List*")),
        (
            "Revoker",
            f"arn:aws:iam::{ACCOUNT}:upstream/to-Ended",
            policy("iam:PutRolePolicy", UPSTREAM_ROLE.replace("ReadOnly", "Ended")),
        ),
    ):
        trusted = iam.get_role(RoleName="ReadOnly")["Role"]["AssumeRolePolicyDocument"]
        text = json.dumps(trusted).replace(READER, subject)
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=text)
        iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=allowed)
    front = world.front.iam
    trusted = front.get_role(RoleName="Admin")["Role"]["AssumeRolePolicyDocument"]
    front.create_role(RoleName="Ended", AssumeRolePolicyDocument=json.dumps(trusted))
    ended = UPSTREAM_ROLE.replace("ReadOnly", "Ended")
    revocation = {
        "Role": UPSTREAM_ROLE.replace("ReadOnly", "Revoker"),
        "Endpoint": world.upstream.url,
    }
    world.set("Ended", Roles={"Ended": ended}, Revocation=revocation)
    time.sleep(1.2)  # until the worker knows
    there = world.upstream.client("iam", Key.of(world.saml("Ended")["Credentials"]))
    assert there.list_users()
    command = world.front.broker.command
    said = command("sessions", "revoke", role_arn("Ended"), "--upstream")
    assert f"Ended in to-Ended: older sessions of {ended}" in said
    with pytest.raises(ClientError, match="explicit deny"):
        there.list_users()
    (entry,) = command(
        "audit", "--json", "--action", "broker:EndUpstreamSessions"
    ).splitlines()
    assert ended in entry
    time.sleep(1.1)  # the statement counts in seconds
    there = world.upstream.client("iam", Key.of(world.saml("Ended")["Credentials"]))
    assert there.list_users()
    # Without the right to do so there, and without a Revocation.
    iam.delete_role_policy(RoleName="Revoker", PolicyName="own")
    with pytest.raises(AssertionError) as failed:
        command("sessions", "revoke", role_arn("Ended"), "--upstream")
    assert f"\n  {ended} (to-Ended)\n" in str(failed.value)
    assert "There: AccessDenied" in str(failed.value)
    world.command("delete", "to-Ended", "--account", ACCOUNT)
    with pytest.raises(AssertionError, match="to-Reader has no Revocation"):
        command("sessions", "revoke", READER, "--upstream")


def signin_token(
    world: World, answer: dict[str, Any], seconds: int | None = None, **changed: str
) -> httpx2.Response:
    """What a custom federation broker sends of a response's credentials."""
    credentials = answer["Credentials"]
    session = {
        "sessionId": credentials["AccessKeyId"],
        "sessionKey": credentials["SecretAccessKey"],
        "sessionToken": credentials["SessionToken"],
        **changed,
    }
    asked = {"Action": "getSigninToken", "Session": json.dumps(session)}
    if seconds is not None:
        asked["SessionDuration"] = str(seconds)
    return httpx2.post(f"{world.front.broker.url}/federation", data=asked)


def test_what_the_broker_minted_is_sent_to_no_upstream(world: World) -> None:
    """Its session was there before the role had an upstream."""
    front = world.front
    trusted = front.iam.get_role(RoleName="Admin")["Role"]["AssumeRolePolicyDocument"]
    front.iam.create_role(RoleName="Late", AssumeRolePolicyDocument=json.dumps(trusted))
    own = world.saml("Late")
    with fake_sts(world.spare) as there:
        world.set(
            "Late",
            Endpoint=there.url,
            SignIn=f"{there.url}/federation",
            Console=f"{there.url}/console/",
        )
        time.sleep(1.2)  # until the worker knows
        assert signin_token(world, own).status_code == 200
        assert there.asked == 0
    world.command("delete", "to-Late", "--account", ACCOUNT)


def at(there: FakeSts) -> dict[str, str]:
    """What a definition says of an upstream there."""
    return {
        "Endpoint": there.url,
        "SignIn": f"{there.url}/federation",
        "Console": f"{there.url}/console/",
    }


def create_role_at(world: World, name: str, there: FakeSts) -> None:
    """A role whose upstream is there."""
    front = world.front
    trusted = front.iam.get_role(RoleName="Admin")["Role"]["AssumeRolePolicyDocument"]
    front.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trusted))
    there.body = granted(zlib.crc32(name.encode()), "AssumeRoleWithWebIdentity")
    world.set(name, **at(there))
    time.sleep(1.2)  # until the worker knows


def test_credentials_are_sent_only_to_the_upstream_that_gave_them(world: World) -> None:
    federation = f"{world.front.broker.url}/federation"
    with fake_sts(world.spare) as first, fake_sts(world.other) as second:
        create_role_at(world, "Moved", first)
        results = world.saml("Moved")
        first.body = second.body = b'{"SigninToken": "T"}'
        query = {
            "Action": "login",
            "SigninToken": signin_token(world, results, 43_200).json()["SigninToken"],
        }
        assert first.form["SessionDuration"] == "3600"  # the role's maximum here
        assert signin_token(world, results, 899).status_code == 400
        world.set("Moved", **at(second))
        time.sleep(1.2)  # until the worker knows
        assert signin_token(world, results).status_code == 400
        for there in (first, second):
            query["Destination"] = at(there)["Console"]
            assert httpx2.get(federation, params=query).status_code == 400
        assert (first.asked, second.asked) == (2, 0)
        world.set("Moved", **{**at(first), "SignIn": None, "Console": None})
        time.sleep(1.2)  # until the worker knows
        for destination in (at(first)["Console"], "no-url", world.front.broker.url):
            query["Destination"] = destination
            assert httpx2.get(federation, params=query).status_code == 400
        world.set("Moved", **at(first))
        time.sleep(1.2)  # until the worker knows
        assert signin_token(world, results).status_code == 200
    world.command("delete", "to-Moved", "--account", ACCOUNT)
    command, key_id = world.front.broker.command, results["Credentials"]["AccessKeyId"]
    view = json.loads(command("sessions", "show", key_id))
    assert (view["upstream"], view["upstream_endpoint"]) == ("to-Moved", first.url)
    said = command("sessions", "revoke", key_id)
    assert f"from the upstream to-Moved ({first.url}), which the role no longer" in said


@pytest.mark.parametrize("becomes", ["another", "none"])
def test_an_upstream_that_changes_meanwhile_opens_no_console(
    world: World, becomes: str
) -> None:
    """Its credentials go to nobody else, and open no session that cannot be used."""
    front, name = world.front, f"Became-{becomes}"

    def sign_in() -> tuple[httpx2.Response, dict[str, str]]:
        with httpx2.Client(follow_redirects=True, timeout=30) as browser:
            page = browser.post(
                front.acs,
                data={"SAMLResponse": front.assertion(role_arn(name))},
                headers={"accept": "text/html"},
            )
            return page, dict(browser.cookies)

    delete = ("delete", f"to-{name}", "--account", ACCOUNT)
    with (
        fake_sts(world.spare) as first,
        fake_sts(world.other) as second,
        ThreadPoolExecutor(1) as pool,
    ):
        create_role_at(world, name, first)
        first.hold()
        signing_in = pool.submit(sign_in)
        try:
            assert first.arrived.acquire(timeout=20)
            if becomes == "another":
                world.set(name, **at(second))
            else:
                world.command(*delete)
            time.sleep(1.2)  # until the worker knows
        finally:
            first.go_on()
        page, cookies = signing_in.result()
        assert (first.asked, second.asked) == (1, 0)
    assert page.status_code == 403
    assert "upstream was changed" in page.text
    assert all(name.startswith("broker-arriving-") for name in cookies)
    if becomes == "another":
        world.command(*delete)


def test_a_key_id_in_use_is_not_taken_from_another(world: World) -> None:
    first = world.front.web_identity()["Credentials"]["AccessKeyId"]
    body = granted(operation="AssumeRoleWithWebIdentity").replace(
        key_id(1).encode(), first.encode()
    )
    with (
        fake_sts(world.spare, body=body),
        pytest.raises(ClientError, match="UpstreamOutcomeUnknown"),
    ):
        world.front.web_identity(RoleArn=role_arn("Unclear"))
    view = json.loads(world.front.broker.command("sessions", "show", first))
    assert "Reader" in json.dumps(view)


def test_a_custom_broker_url_leads_to_the_upstreams_console(world: World) -> None:
    results = world.saml("Reader")
    federation = f"{world.front.broker.url}/federation"

    assert signin_token(world, results, sessionKey="x" * 40).status_code == 400
    answer = signin_token(world, results)
    assert answer.status_code == 200, answer.text
    token = answer.json()["SigninToken"]
    query = {"Action": "login", "Issuer": "https://corp.example", "SigninToken": token}
    for elsewhere in (
        *("https://evil.example/", "https://[", "//evil.example/", "javascript:1"),
        f"{world.upstream.url}@evil.example/",
        f"{world.upstream.url}.evil.example/",
    ):
        asked = {**query, "Destination": elsewhere}
        assert httpx2.get(federation, params=asked).status_code == 400, elsewhere
    query["Destination"] = f"{world.upstream.url}/console/roles"
    sent = httpx2.get(federation, params=query)
    assert sent.status_code == 302
    location = sent.headers["location"]
    assert location.startswith(f"{world.upstream.url}/federation?Action=login&")
    with httpx2.Client(follow_redirects=True) as browser:
        page = browser.get(location)
    assert str(page.url) == query["Destination"]
    assert httpx2.get(federation, params=query).status_code == 400  # it worked once


def login_query(world: World, results: dict[str, Any]) -> dict[str, str]:
    """What opens the upstream's console with credentials that the upstream gave."""
    return {
        "Action": "login",
        "SigninToken": signin_token(world, results).json()["SigninToken"],
        "Destination": f"{world.upstream.url}/console/",
    }


def test_a_link_to_awss_console_opens_the_upstreams(world: World) -> None:
    """With AWS's sign-in host as an alias, as aws-vault and others make them."""
    query = login_query(world, world.saml("Reader"))
    console = query["Destination"]
    query["Destination"] = "https://eu-west-1.console.aws.amazon.com/console/home"
    sent = httpx2.get(f"{world.front.broker.url}/federation", params=query)
    assert sent.status_code == 302, sent.text
    (there,) = parse_qs(urlsplit(sent.headers["location"]).query)["Destination"]
    assert there == console


def test_a_sign_in_token_opens_the_upstreams_console_once(world: World) -> None:
    results = world.saml("Reader")
    query = login_query(world, results)
    federation = f"{world.front.broker.url}/federation"
    cache = Snapshot(world.front.broker.folder / "data")
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda _: httpx2.get(federation, params=query), range(8))
        )
    assert sorted(answer.status_code for answer in answers) == [302] + [400] * 7
    cache.bring_back()
    assert httpx2.get(federation, params=query).status_code == 400
    key_id = results["Credentials"]["AccessKeyId"]
    lines = world.front.broker.command(
        "audit", "--json", "--action", "signin:ConsoleLogin"
    ).splitlines()
    records = [json.loads(line) for line in lines]
    logins = [record for record in records if record["access_key_id"] == key_id]
    assert [login["decision"] for login in logins].count("allowed") == 1
    assert {login["parameters"]["Upstream"] for login in logins} == {"to-Reader"}


@pytest.mark.parametrize("target", ["the session", "its role"])
def test_a_revoked_session_opens_no_console_of_the_upstream(
    world: World, target: str
) -> None:
    results = world.saml("Reader")
    query = login_query(world, results)
    key_id = results["Credentials"]["AccessKeyId"]
    named = key_id if target == "the session" else READER
    world.front.broker.command("sessions", "revoke", named)
    time.sleep(1.2)  # until the worker knows
    answer = httpx2.get(f"{world.front.broker.url}/federation", params=query)
    assert answer.status_code == 400
    assert "location" not in answer.headers
