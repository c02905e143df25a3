"""A provider's directory tells by SCIM who may come in, and who has left."""

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
