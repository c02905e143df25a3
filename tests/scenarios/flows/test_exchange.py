"""Proof in, scoped credentials out: on embedded stores, and on Redis and PostgreSQL."""

from pathlib import Path

import httpx2 as httpx
import pytest
from lxml import html

from tests.scenarios.installation import (
    ADMIN,
    READER,
    SAML_PROVIDER,
    Installation,
    trust,
)
from tests.support.broker import ACCOUNT, Key
from tests.support.refusals import refused

SESSION_ARN = f"arn:aws:sts::{ACCOUNT}:assumed-role/Reader/"


@pytest.mark.quick
def test_a_web_identity_token_becomes_credentials(installation: Installation) -> None:
    answer = installation.web_identity()
    assert answer["AssumedRoleUser"]["Arn"] == f"{SESSION_ARN}workload"
    assert answer["Audience"] == "client-1"
    assert answer["Provider"].endswith(installation.issuer.host_and_path)
    assert installation.identity(answer)["Arn"] == f"{SESSION_ARN}workload"


def test_the_session_may_do_what_its_role_may(installation: Installation) -> None:
    key = Key.of(installation.web_identity()["Credentials"])
    iam = installation.broker.client("iam", key)
    assert iam.get_role(RoleName="Reader")["Role"]["Arn"] == READER
    status, code, message = refused(iam.delete_role, RoleName="Reader")
    assert (status, code) == (403, "AccessDenied")
    assert message == (
        f"User: {SESSION_ARN}workload is not authorized to perform: iam:DeleteRole on"
        " resource: role Reader because no identity-based policy allows the"
        " iam:DeleteRole action"
    )


def test_a_session_policy_only_narrows(installation: Installation) -> None:
    answer = installation.web_identity(
        Policy='{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*"}}'
    )
    assert answer["PackedPolicySize"] > 0
    iam = installation.broker.client("iam", Key.of(answer["Credentials"]))
    assert iam.list_roles()["Roles"]
    status, code, message = refused(iam.get_role, RoleName="Reader")
    assert (status, code) == (403, "AccessDenied")
    assert message.endswith("because no session policy allows the iam:GetRole action")


def test_a_token_may_be_exchanged_again(installation: Installation) -> None:
    token = installation.issuer.issuer.token()
    first = installation.web_identity(WebIdentityToken=token)
    second = installation.web_identity(WebIdentityToken=token)
    assert first["Credentials"] != second["Credentials"]


@pytest.mark.parametrize("conditions", ["", "<saml:OneTimeUse/>"])
def test_an_assertion_opens_one_role_only(
    installation: Installation, conditions: str
) -> None:
    """Also without the condition of SAML 2.0 Core 2.5.1.5."""
    response = installation.assertion(READER, ADMIN, conditions_xml=conditions)
    installation.saml(response)
    status, code, message = refused(installation.saml, response, RoleArn=ADMIN)
    assert (status, code) == (400, "InvalidIdentityToken")
    assert "has been used before" in message


@pytest.mark.quick
def test_an_assertion_becomes_credentials_once(installation: Installation) -> None:
    response = installation.assertion()
    answer = installation.saml(response)
    name = answer["AssumedRoleUser"]["Arn"].rpartition("/")[2]
    assert installation.identity(answer)["Arn"] == f"{SESSION_ARN}{name}"
    assert answer["Audience"] == installation.acs
    status, code, _ = refused(installation.saml, response=response)
    assert (status, code) == (400, "InvalidIdentityToken")


def test_an_assertion_opens_only_the_roles_it_lists(installation: Installation) -> None:
    status, code, message = refused(installation.saml, RoleArn=ADMIN)
    assert (status, code) == (400, "InvalidIdentityToken")
    assert message == (
        "SAML Assertion doesn't contain the requested Role and Metadata in the attributes"
    )


def test_roles_of_the_single_sign_on_service_are_not_assumed_with_saml(
    installation: Installation,
) -> None:
    trusting = trust(({"Federated": SAML_PROVIDER}, "sts:AssumeRoleWithSAML", None))
    for name, may in (("SSO_Reader", True), ("AWSReservedSSO_Reader", False)):
        role = f"arn:aws:iam::{ACCOUNT}:role/{name}"
        installation.iam.create_role(RoleName=name, AssumeRolePolicyDocument=trusting)
        response = installation.assertion(role)
        if may:
            assert installation.saml(response, RoleArn=role)["Credentials"]
        else:
            assert refused(installation.saml, response=response, RoleArn=role) == (
                403,
                "AccessDenied",
                "Not authorized to perform sts:AssumeRoleWithSAML",
            )
        installation.iam.delete_role(RoleName=name)


def test_a_missing_role_and_a_refused_trust_look_alike(
    installation: Installation,
) -> None:
    missing = refused(
        installation.web_identity, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/Nobody"
    )
    installation.iam.create_role(
        RoleName="Strict",
        AssumeRolePolicyDocument=(
            '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Federated":"'
            + SAML_PROVIDER
            + '"},"Action":"sts:AssumeRoleWithSAML"}}'
        ),
    )
    untrusted = refused(
        installation.web_identity, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/Strict"
    )
    assert missing == untrusted
    assert missing == (
        403,
        "AccessDenied",
        "Not authorized to perform sts:AssumeRoleWithWebIdentity",
    )
    installation.iam.delete_role(RoleName="Strict")


def test_the_role_maximum_is_enforced_with_its_exact_text(
    installation: Installation,
) -> None:
    assert refused(installation.web_identity, DurationSeconds=7201) == (
        400,
        "ValidationError",
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    )


def test_the_cli_exchanges_a_token_file(
    installation: Installation, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text(installation.issuer.issuer.token() + "\n")
    answer = installation.broker.aws(
        *("sts", "get-caller-identity"),
        AWS_WEB_IDENTITY_TOKEN_FILE=str(token_file),
        AWS_ROLE_ARN=READER,
        AWS_ROLE_SESSION_NAME="from-file",
    )
    assert answer["Arn"] == f"{SESSION_ARN}from-file"


def test_the_cli_exchanges_an_assertion(installation: Installation) -> None:
    answer = installation.broker.aws(
        *("sts", "assume-role-with-saml", "--role-arn", READER),
        *("--principal-arn", SAML_PROVIDER),
        *("--saml-assertion", installation.assertion()),
    )
    assert installation.identity(answer)["Account"] == ACCOUNT


def test_a_nul_where_something_is_looked_up_finds_nothing(
    installation: Installation,
) -> None:
    token = installation.issuer.issuer.token(iss="http://\0")
    status, code, _ = refused(installation.web_identity, WebIdentityToken=token)
    assert (status, code) == (400, "InvalidIdentityToken")
    url, response = installation.broker.url, {"SAMLResponse": installation.assertion()}
    assert httpx.get(f"{url}/static/saml/%00/saml-metadata.xml").status_code == 404
    assert httpx.post(f"{url}/saml/acs/%00", data=response).status_code == 400
    logout = httpx.post(
        f"{url}/signin/%00/with/x/backchannel-logout", data={"logout_token": token}
    )
    assert logout.status_code == 400


def test_every_call_leaves_one_audit_record(installation: Installation) -> None:
    answer = installation.web_identity()
    request_id = answer["ResponseMetadata"]["RequestId"]
    printed = installation.broker.command("audit", "--request-id", request_id, "--json")
    assert printed.count(request_id) == 1
    assert answer["Credentials"]["AccessKeyId"] in printed
    assert answer["Credentials"]["SecretAccessKey"] not in printed
    assert answer["Credentials"]["SessionToken"] not in printed


def test_no_secret_reaches_the_log(installation: Installation) -> None:
    token = installation.issuer.issuer.token()
    credentials = installation.web_identity(WebIdentityToken=token)["Credentials"]
    installation.identity({"Credentials": credentials})
    log = installation.broker.log
    for secret in (
        token,
        credentials["SecretAccessKey"],
        credentials["SessionToken"],
        installation.root.secret_access_key,
    ):
        assert secret not in log


def test_what_only_lists_roles_spends_nothing(installation: Installation) -> None:
    """As aws-saml-auth, aws-adfs and saml2aws do it: redirects are followed."""
    assertion = installation.assertion()
    for accept in ("*/*", "text/plain, */*; q=0.01"):
        with httpx.Client(
            base_url=installation.broker.url,
            follow_redirects=True,
            headers={"accept": accept},
        ) as tool:
            page = tool.post("/saml", data={"SAMLResponse": assertion})
            assert page.status_code == 200
            assert not tool.cookies
        document = html.fromstring(page.text)
        (account,) = document.xpath("//fieldset/div[@class='saml-account']")
        assert account.xpath(".//label/@for") == [READER]
        assert ACCOUNT in account.xpath("./div[@class='saml-account-name']")[0].text
    assert installation.identity(installation.saml(assertion))["Account"] == ACCOUNT
    assert refused(installation.saml, assertion).code == "InvalidIdentityToken"
