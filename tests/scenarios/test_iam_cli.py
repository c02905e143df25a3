"""Common chapters of IAM's guide, walked through with the AWS CLI."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with running_broker(tmp_path_factory.mktemp("cli")) as made:
        yield made


@pytest.fixture(scope="module")
def root(broker: RunningBroker) -> dict[str, str]:
    return environment(broker.create_account())


def environment(key: Key) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
    }


def test_an_administrators_group_is_set_up_and_a_key_rotated(
    broker: RunningBroker, root: dict[str, str]
) -> None:
    def aws(*words: str, **who: str) -> dict[str, object]:
        return broker.aws("iam", *words, **(who or root))

    aws("create-group", "--group-name", "Admins")
    aws("attach-group-policy", "--group-name", "Admins", "--policy-arn", ADMINISTRATOR)
    aws("create-user", "--user-name", "zoe")
    aws("add-user-to-group", "--group-name", "Admins", "--user-name", "zoe")
    made = aws("create-access-key", "--user-name", "zoe")["AccessKey"]
    assert isinstance(made, dict)
    old = Key.of(made)
    rotated = aws("create-access-key", **environment(old))["AccessKey"]
    assert isinstance(rotated, dict)
    new = environment(Key.of(rotated))
    given = ("--access-key-id", old.access_key_id)
    aws("update-access-key", *given, "--status", "Inactive", **new)
    aws("delete-access-key", *given, **new)
    listed = aws("list-access-keys", **new)["AccessKeyMetadata"]
    assert isinstance(listed, list)
    assert [key["AccessKeyId"] for key in listed] == [rotated["AccessKeyId"]]


def test_a_password_policy_is_set_and_a_login_profile_made(
    broker: RunningBroker, root: dict[str, str]
) -> None:
    def aws(*words: str) -> dict[str, object]:
        return broker.aws("iam", *words, **root)

    aws(
        *("update-account-password-policy", "--minimum-password-length", "12"),
        *("--require-symbols", "--max-password-age", "90"),
    )
    policy = aws("get-account-password-policy")["PasswordPolicy"]
    assert isinstance(policy, dict)
    assert policy["ExpirePasswords"] is True
    aws("create-user", "--user-name", "pat")
    aws(
        *("create-login-profile", "--user-name", "pat"),
        *("--password", "Correct-Horse-7", "--password-reset-required"),
    )
    profile = aws("get-login-profile", "--user-name", "pat")["LoginProfile"]
    assert isinstance(profile, dict)
    assert profile["PasswordResetRequired"] is True


def test_unused_permissions_are_found(
    broker: RunningBroker, root: dict[str, str]
) -> None:
    def aws(*words: str) -> dict[str, object]:
        return broker.aws("iam", *words, **root)

    document = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": ["iam:GetUser", "s3:*"], "Resource": "*"}
        ],
    }
    aws("create-user", "--user-name", "idle")
    aws(
        *("put-user-policy", "--user-name", "idle", "--policy-name", "P"),
        *("--policy-document", json.dumps(document)),
    )
    made = aws("create-access-key", "--user-name", "idle")["AccessKey"]
    assert isinstance(made, dict)
    broker.client("iam", Key.of(made)).get_user()
    arn = f"arn:aws:iam::{ACCOUNT}:user/idle"
    deadline = time.monotonic() + 20
    used: set[str] = set()
    while not used and time.monotonic() < deadline:
        job = aws("generate-service-last-accessed-details", "--arn", arn)["JobId"]
        services = aws("get-service-last-accessed-details", "--job-id", str(job))[
            "ServicesLastAccessed"
        ]
        assert isinstance(services, list)
        assert {one["ServiceNamespace"] for one in services} == {"iam", "s3"}
        used = {
            one["ServiceNamespace"] for one in services if "LastAuthenticated" in one
        }
    assert used == {"iam"}
    granting = aws(
        *("list-policies-granting-service-access", "--arn", arn),
        *("--service-namespaces", "s3"),
    )["PoliciesGrantingServiceAccess"]
    assert isinstance(granting, list)
    assert [policy["PolicyName"] for policy in granting[0]["Policies"]] == ["P"]
    details = aws("get-account-authorization-details", "--filter", "User")
    assert isinstance(details["UserDetailList"], list)
    assert "idle" in {user["UserName"] for user in details["UserDetailList"]}
