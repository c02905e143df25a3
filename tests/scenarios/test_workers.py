"""Several workers: what one of them changed counts on all within a second."""

import json
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from botocore.exceptions import ClientError

from tests.scenarios.installation import Installation, policy
from tests.support.broker import Key, running_broker
from tests.support.oidc_issuer import serving

PROMISED_SECONDS = 1.0


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with (
        serving("/idp") as issuer,
        running_broker(
            tmp_path_factory.mktemp("broker"),
            workers=2,
            forked=False,  # a start as an operator's
            internal_issuers=f"127.0.0.1:{issuer.port}",
        ) as broker,
    ):
        yield Installation(broker, issuer)


def outcomes(installation: Installation, key: Key, operation: str) -> Counter[str]:
    """What many calls on connections of their own answer: both workers take part."""
    service, _, name = operation.partition(":")
    counter: Counter[str] = Counter()
    for _ in range(24):
        client = installation.broker.client(service, key)
        try:
            getattr(client, name)()
            counter["ok"] += 1
        except ClientError as error:
            counter[error.response["Error"]["Code"]] += 1
        finally:
            client.close()
    return counter


def test_a_policy_change_counts_everywhere_within_a_second(
    installation: Installation,
) -> None:
    key = Key.of(installation.web_identity()["Credentials"])
    assert set(outcomes(installation, key, "iam:list_users")) == {"ok"}
    installation.iam.put_role_policy(
        RoleName="Reader",
        PolicyName="Stop",
        PolicyDocument=policy("iam:ListUsers", effect="Deny"),
    )
    time.sleep(PROMISED_SECONDS)
    assert set(outcomes(installation, key, "iam:list_users")) == {"AccessDenied"}
    installation.iam.delete_role_policy(RoleName="Reader", PolicyName="Stop")
    time.sleep(PROMISED_SECONDS)
    assert set(outcomes(installation, key, "iam:list_users")) == {"ok"}


def test_a_deactivated_key_ends_everywhere_within_a_second(
    installation: Installation,
) -> None:
    iam = installation.iam
    iam.create_user(UserName="machine")
    made = iam.create_access_key(UserName="machine")["AccessKey"]
    time.sleep(PROMISED_SECONDS)
    key = Key.of(made)
    assert set(outcomes(installation, key, "sts:get_caller_identity")) == {"ok"}
    iam.update_access_key(
        UserName="machine", AccessKeyId=key.access_key_id, Status="Inactive"
    )
    time.sleep(PROMISED_SECONDS)
    assert set(outcomes(installation, key, "sts:get_caller_identity")) == {
        "InvalidClientTokenId"
    }


def test_an_assertion_is_spent_once_whichever_worker_is_asked(
    installation: Installation,
) -> None:
    response = installation.assertion()
    codes: Counter[str] = Counter()
    for _ in range(8):
        installation.sts = installation.broker.client("sts")
        try:
            installation.saml(response)
            codes["ok"] += 1
        except ClientError as error:
            codes[error.response["Error"]["Code"]] += 1
    assert codes == {"ok": 1, "InvalidIdentityToken": 7}


def test_a_recreated_role_ends_its_old_sessions(installation: Installation) -> None:
    iam = installation.iam
    document = iam.get_role(RoleName="Admin")["Role"]["AssumeRolePolicyDocument"]
    iam.create_role(
        RoleName="Short", AssumeRolePolicyDocument=_dumped(document), Path="/team/"
    )
    time.sleep(PROMISED_SECONDS)
    arn = iam.get_role(RoleName="Short")["Role"]["Arn"]
    key = Key.of(installation.web_identity(RoleArn=arn)["Credentials"])
    assert set(outcomes(installation, key, "sts:get_caller_identity")) == {"ok"}
    iam.delete_role(RoleName="Short")
    iam.create_role(
        RoleName="Short", AssumeRolePolicyDocument=_dumped(document), Path="/team/"
    )
    time.sleep(PROMISED_SECONDS)
    assert set(outcomes(installation, key, "sts:get_caller_identity")) == {
        "InvalidClientTokenId"
    }


def _dumped(document: object) -> str:
    return json.dumps(document)
