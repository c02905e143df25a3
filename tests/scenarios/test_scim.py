"""A provider's directory reports with SCIM who may sign in, and who has left."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import jwt
import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from broker.sessions.revoke import SETTLING
from tests.scenarios.installation import SAML_PROVIDER, Installation, trust
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.machine_agent import until
from tests.support.machines import public_text
from tests.support.oidc_issuer import serving
from tests.support.scim import Directory, administration, directory
from tests.support.signin import BROWSER
from tests.support.storage import broker_on

NAME_ID = "alice"
PROMISED_SECONDS = 1.0


@pytest.fixture
def corp(installation: Installation) -> Iterator[Directory]:
    """The directory of the SAML provider; its users are known by their names."""
    broker = installation.broker
    broker.command("providers", "set", SAML_PROVIDER, "ScimSubject=userName")
    api = administration(broker, installation.root)
    token = api.create_scim_token(ProviderArn=SAML_PROVIDER)
    with directory(broker, token["Token"]) as made:
        wait_until_known(made)
        yield made
        for kind in ("Users", "Groups"):
            for resource in made.send("GET", f"/{kind}").json()["Resources"]:
                made.send("DELETE", f"/{kind}/{resource['id']}")
    api.delete_scim_token(
        ProviderArn=SAML_PROVIDER, TokenId=token["ScimToken"]["TokenId"]
    )
    broker.command("providers", "set", SAML_PROVIDER, "ScimSubject=")


def wait_until_known(corp: Directory) -> None:
    """A running worker learns within a second of what a command changed."""
    deadline = time.monotonic() + PROMISED_SECONDS
    while (answer := corp.send("GET", "/Users")).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str]:
    told: dict[str, Any] = error.value.response["Error"]
    return told["Code"], told["Message"]


def test_only_active_people_come_in(
    installation: Installation, corp: Directory
) -> None:
    with pytest.raises(ClientError) as unknown:
        installation.saml()
    assert refusal(unknown)[0] == "IDPRejectedClaim"
    user = corp.create_user(NAME_ID.upper())
    session = installation.saml()
    assert installation.identity(session)["Account"] == ACCOUNT
    corp.deactivate(user["id"])
    with pytest.raises(ClientError) as ended:
        installation.identity(session)
    assert refusal(ended)[0] == "ExpiredToken"
    with pytest.raises(ClientError) as refused:
        installation.saml()
    assert "not active" in refusal(refused)[1]


Leave = Callable[[Directory, str, str], httpx.Response]
RENAMED = {"op": "replace", "path": "displayName", "value": "Old"}
DEACTIVATED: Leave = lambda corp, user, _: corp.deactivate(user)  # noqa: E731  # a row
LEAVES: dict[str, tuple[str, str, Leave]] = {
    "known by a claim": ("externalId", "oid", DEACTIVATED),
    "a subject in capitals": ("userName", "", DEACTIVATED),
    "group renamed": (
        *("userName", ""),
        lambda corp, _, group: corp.patch(f"/Groups/{group}", RENAMED),
    ),
}


@pytest.mark.parametrize(("attribute", "claim", "leave"), LEAVES.values(), ids=LEAVES)
def test_a_leavers_machine_is_ended(
    installation: Installation, attribute: str, claim: str, leave: Leave
) -> None:
    """Whatever the person's token has for its subject."""
    broker, name = installation.broker, f"leaver-{uuid.uuid4().hex}"
    iam, issuer = installation.iam, installation.issuer
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer.host_and_path}"
    policy = trust(
        ({"Service": "ec2.amazonaws.com"}, "sts:AssumeRole", None),
        ({"Federated": provider}, "broker:RegisterInstanceWithWebIdentity", None),
    )
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy)["Role"]
    profile = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    settings = {
        "ScimSubject": attribute,
        "ScimClaim": claim,
        "GroupRoles": json.dumps({name: [role["Arn"]]}),
        "GroupAttribute": "groups",
    }
    said = (f"{option}={value}" for option, value in settings.items())
    broker.command("providers", "set", provider, *said)
    api = administration(broker, installation.root)
    token = api.create_scim_token(ProviderArn=provider)
    key = Ed25519PrivateKey.generate()
    with directory(broker, token["Token"]) as corp:
        until(lambda: corp.send("GET", "/Users").status_code == 200)
        user = corp.create_user(name, externalId=name)["id"]
        group = corp.create_group(name, user)["id"]
        registered = api.register_instance_with_web_identity(
            InstanceProfileArn=profile["Arn"],
            WebIdentityToken=issuer.issuer.token(sub=name.upper(), oid=name),
            PublicKey=public_text(key),
        )
        arn = registered["InstanceAssociation"]["InstanceArn"]
        session = ask_for_credentials(api, arn, key)
        assert installation.identity(session)["Account"] == ACCOUNT
        assert leave(corp, user, group).status_code == 200
        with pytest.raises(ClientError) as ended:
            installation.identity(session)
        assert refusal(ended)[0] == "ExpiredToken"
        with pytest.raises(ClientError) as refused:
            ask_for_credentials(api, arn, key)
        assert refusal(refused)[0] == "InvalidClientTokenId"
        cleared = (f"{option}=" for option in settings)
        broker.command("providers", "set", provider, *cleared)
        until(lambda: corp.send("GET", "/Users").status_code != 200)


def ask_for_credentials(api: Any, arn: str, key: Ed25519PrivateKey) -> Any:
    """What a machine gets for its role."""
    proof = {
        "iss": arn,
        "sub": arn,
        "aud": "broker:GetInstanceCredentials",
        "iat": int(time.time()),
        "jti": uuid.uuid4().hex,
    }
    return api.get_instance_credentials(
        InstanceArn=arn, InstanceProof=jwt.encode(proof, key, algorithm="EdDSA")
    )


KNOWN = {("check_remove_attribute", "User")}
"""``active`` cannot be removed: it is unclear whether that would admit a person."""


def test_the_checks_of_scim2_tester(corp: Directory) -> None:
    # Their models take seconds to import, which no other test need wait for.
    from scim2_client.engines.httpx2 import SyncSCIMClient
    from scim2_tester import Status, check_server

    results = check_server(SyncSCIMClient(corp.client))
    failed = {
        (result.title, result.resource_type): str(result.reason)
        for result in results
        if result.status in {Status.ERROR, Status.CRITICAL}
    }
    assert set(failed) == KNOWN, failed
    assert "active can be set to true or false" in "".join(failed.values())
    assert len(results) > 50


def test_okta_names_a_group_with_every_change_of_members(corp: Directory) -> None:
    """Source: Okta, SCIM 2.0 protocol reference, "Update a specific Group name"."""
    user = corp.create_user("okta")["id"]
    group = corp.create_group("Admins")["id"]
    for named, value in (
        (f"/Groups/{group}", {"id": group, "displayName": "Operators"}),
        (f"/Users/{user}", {"id": user, "displayName": "Operators"}),
    ):
        answer = corp.patch(named, {"op": "replace", "value": value})
        assert answer.status_code == 200, answer.text
        assert answer.json()["displayName"] == "Operators"
        other = {"op": "replace", "value": {**value, "id": f"{value['id']}X"}}
        refused = corp.patch(named, other)
        assert (refused.status_code, refused.json()["scimType"]) == (400, "mutability")
    answer = corp.patch(
        f"/Groups/{group}",
        {"op": "replace", "value": {"id": group, "displayName": "Staff"}},
        {"op": "add", "path": "members", "value": [{"value": user, "display": "x"}]},
    )
    assert [member["value"] for member in answer.json()["members"]] == [user]


def test_administrators_see_who_is_there(
    installation: Installation, corp: Directory
) -> None:
    api = administration(installation.broker, installation.root)
    users = [corp.create_user(name) for name in ("anna", "bob", "carol")]
    corp.create_group("Admins", users[1]["id"])
    corp.deactivate(users[2]["id"])
    listed = api.list_scim_users(ProviderArn=SAML_PROVIDER, MaxItems=2)
    assert [scim_user["UserName"] for scim_user in listed["ScimUsers"]] == [
        "anna",
        "bob",
    ]
    assert listed["ScimUsers"][1]["Groups"] == ["Admins"]
    rest = api.list_scim_users(ProviderArn=SAML_PROVIDER, Marker=listed["Marker"])
    assert [scim_user["UserName"] for scim_user in rest["ScimUsers"]] == ["carol"]
    assert not rest["IsTruncated"]
    inactive = api.list_scim_users(ProviderArn=SAML_PROVIDER, Active=False)
    assert [scim_user["UserId"] for scim_user in inactive["ScimUsers"]] == [
        users[2]["id"]
    ]
    with pytest.raises(ClientError) as refused:
        api.list_scim_users(ProviderArn=SAML_PROVIDER, Marker="many")
    assert refusal(refused)[0] == "ValidationError"
    state = json.loads(installation.broker.command("providers", "scim", SAML_PROVIDER))
    assert (state["Users"], state["Inactive"], state["Groups"]) == (3, 1, 1)
    assert state["Address"] == f"{installation.broker.url}/scim/v2/{ACCOUNT}"
    doctor = installation.broker.command("doctor")
    assert "SCIM: people: 3 (1 inactive), groups: 1" in doctor


def test_the_operators_tokens(installation: Installation) -> None:
    broker = installation.broker
    words = ("providers", "scim-token", SAML_PROVIDER)
    with pytest.raises(AssertionError, match="SCIM is switched off"):
        broker.command(*words)
    broker.command("providers", "set", SAML_PROVIDER, "ScimSubject=userName")
    try:
        made = json.loads(broker.command(*words, "--days", "3"))
        with directory(broker, made["Token"]) as corp:
            wait_until_known(corp)
            revoke = ("providers", "revoke-scim-token", SAML_PROVIDER)
            broker.command(*revoke, made["TokenId"])
            deadline = time.monotonic() + PROMISED_SECONDS
            while corp.send("GET", "/Users").status_code == 200:
                assert time.monotonic() < deadline
        words = ("--action", "broker:CreateScimToken", "--json")
        records = broker.command("audit", *words)
        assert "broker:CreateScimToken" in records
        assert made["Token"] not in records
    finally:
        broker.command("providers", "set", SAML_PROVIDER, "ScimSubject=")


def test_what_answers_directories_is_loaded_before_they_ask(tmp_path: Path) -> None:
    """By each worker, once there is a token; else the first request would wait."""

    def loaded(broker: RunningBroker) -> int:
        return broker.log.count("| broker.actions.scim.users")

    with (
        serving("/idp") as issuer,
        running_broker(tmp_path, internal_issuers=f"127.0.0.1:{issuer.port}") as broker,
    ):
        Installation(broker, issuer)
        broker.program = ("-X", "importtime", "-m", "broker")
        broker.workers = 2
        for with_token in (False, True):
            if with_token:
                provider = (SAML_PROVIDER, "ScimSubject=userName")
                broker.command("providers", "set", *provider)
                broker.command("providers", "scim-token", SAML_PROVIDER)
            broker.stop()
            broker.start()
            if not with_token:
                time.sleep(1)
                assert not loaded(broker)
        deadline = time.monotonic() + 60
        while loaded(broker) < broker.workers:
            assert time.monotonic() < deadline
            time.sleep(0.05)


ENOUGH = 12
"""Connections of their own: both workers are asked."""


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("broker")
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        with broker_on(
            "redis+postgresql", folder, internal_issuers=internal, workers=2
        ) as broker:
            yield Installation(broker, issuer)


class Person:
    """Somebody with a console session, a portal sign-in and a role's credentials."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.cookies = {
            path: self._sign_in(state) for path, state in PAGES_AND_STATES.items()
        }
        self.key = Key.of(installation.saml()["Credentials"])

    def _sign_in(self, relay_state: str) -> dict[str, str]:
        with httpx.Client(follow_redirects=True, headers=BROWSER) as browser:
            data = {
                "SAMLResponse": self.installation.assertion(),
                "RelayState": relay_state,
            }
            answer = browser.post(self.installation.acs, data=data)
            assert answer.status_code == 200, answer.text
            return dict(browser.cookies)

    def has(self) -> set[str]:
        """What still works, each asked on connections of its own."""
        url, results = self.installation.broker.url, set()
        for path, cookies in self.cookies.items():
            answer = httpx.get(f"{url}{path}", cookies=cookies, headers=BROWSER)
            if answer.status_code == 200:
                results.add(path)
        client = self.installation.broker.client("sts", self.key)
        try:
            client.get_caller_identity()
            results.add("credentials")
        except ClientError:
            pass
        finally:
            client.close()
        return results

    def comes_in(self) -> bool:
        self.installation.sts = self.installation.broker.client("sts")
        try:
            self.installation.saml()
        except ClientError as error:
            return error.response["Error"]["Code"] != "IDPRejectedClaim"
        return True


PAGES_AND_STATES = {"/console/": "", f"/portal/{ACCOUNT}": f"/portal/{ACCOUNT}"}
ALL = {*PAGES_AND_STATES, "credentials"}


def test_a_leaver_is_out_at_every_worker_within_a_second(
    two_workers: Installation,
) -> None:
    broker = two_workers.broker
    broker.command("providers", "set", SAML_PROVIDER, "ScimSubject=userName")
    api = administration(broker, two_workers.root)
    token = api.create_scim_token(ProviderArn=SAML_PROVIDER)["Token"]
    time.sleep(PROMISED_SECONDS)
    with directory(broker, token) as corp:
        user = corp.create_user(NAME_ID)["id"]
        time.sleep(PROMISED_SECONDS)
        person = Person(two_workers)
        for _ in range(ENOUGH):
            assert person.has() == ALL
        assert corp.deactivate(user).status_code == 200
        time.sleep(PROMISED_SECONDS)
        for _ in range(ENOUGH):
            assert person.has() == set()
            assert not person.comes_in()
        active = {"op": "replace", "path": "active", "value": True}
        assert corp.patch(f"/Users/{user}", active).status_code == 200
        time.sleep(SETTLING.total_seconds() + PROMISED_SECONDS)
        for _ in range(ENOUGH):
            assert person.comes_in()
            assert person.has() == set()
