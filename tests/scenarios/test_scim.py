"""A provider's directory tells by SCIM who may come in, and who has left."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

from tests.scenarios.installation import SAML_PROVIDER, Installation
from tests.support.broker import ACCOUNT
from tests.support.scim import Directory, administration, directory

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
        yield made
        for kind in ("Users", "Groups"):
            for one in made.send("GET", f"/{kind}").json()["Resources"]:
                made.send("DELETE", f"/{kind}/{one['id']}")
    api.delete_scim_token(
        ProviderArn=SAML_PROVIDER, TokenId=token["ScimToken"]["TokenId"]
    )
    broker.command("providers", "set", SAML_PROVIDER, "ScimSubject=")


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


KNOWN = {("check_remove_attribute", "User")}
"""``active`` is never removed: nobody knows whether that would let a person in."""


def test_the_checks_of_scim2_tester(corp: Directory) -> None:
    results = check_server(SyncSCIMClient(corp.client))
    failed = {
        (one.title, one.resource_type): str(one.reason)
        for one in results
        if one.status in {Status.ERROR, Status.CRITICAL}
    }
    assert set(failed) == KNOWN, failed
    assert "active is set to true or false" in "".join(failed.values())
    assert len(results) > 50


def test_administrators_see_who_is_there(
    installation: Installation, corp: Directory
) -> None:
    api = administration(installation.broker, installation.root)
    users = [corp.create_user(name) for name in ("alice", "bob", "carol")]
    corp.create_group("Admins", users[1]["id"])
    corp.deactivate(users[2]["id"])
    listed = api.list_scim_users(ProviderArn=SAML_PROVIDER, MaxItems=2)
    assert [one["UserName"] for one in listed["ScimUsers"]] == ["alice", "bob"]
    assert listed["ScimUsers"][1]["Groups"] == ["Admins"]
    rest = api.list_scim_users(ProviderArn=SAML_PROVIDER, Marker=listed["Marker"])
    assert [one["UserName"] for one in rest["ScimUsers"]] == ["carol"]
    assert not rest["IsTruncated"]
    inactive = api.list_scim_users(ProviderArn=SAML_PROVIDER, Active=False)
    assert [one["UserId"] for one in inactive["ScimUsers"]] == [users[2]["id"]]
    with pytest.raises(ClientError) as refused:
        api.list_scim_users(ProviderArn=SAML_PROVIDER, Marker="many")
    assert refusal(refused)[0] == "ValidationError"
    state = json.loads(installation.broker.command("providers", "scim", SAML_PROVIDER))
    assert (state["Users"], state["Inactive"], state["Groups"]) == (3, 1, 1)
    assert state["Address"] == f"{installation.broker.url}/scim/v2/{ACCOUNT}"
    doctor = installation.broker.command("doctor")
    assert "SCIM: 3 people, 1 of them inactive, 1 groups" in doctor


def test_the_operators_tokens(installation: Installation) -> None:
    broker = installation.broker
    words = ("providers", "scim-token", SAML_PROVIDER)
    with pytest.raises(AssertionError, match="SCIM is switched off"):
        broker.command(*words)
    broker.command("providers", "set", SAML_PROVIDER, "ScimSubject=userName")
    try:
        made = json.loads(broker.command(*words, "--days", "3"))
        with directory(broker, made["Token"]) as corp:
            assert corp.send("GET", "/Users").status_code == 200
            broker.command(*words, "--revoke", made["TokenId"])
            deadline = time.monotonic() + PROMISED_SECONDS
            while corp.send("GET", "/Users").status_code == 200:
                assert time.monotonic() < deadline
        records = broker.command("audit", "--json")
        assert "broker:CreateScimToken" in records
        assert made["Token"] not in records
    finally:
        broker.command("providers", "set", SAML_PROVIDER, "ScimSubject=")
