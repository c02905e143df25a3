"""Common chapters of IAM's guide, walked through with both versions of the AWS CLI."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.aws_cli import AWS_CLI_1, aws_cli_2
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.policies import allow
from tests.support.totp import Device

pytestmark = pytest.mark.timeout(300)  # a command starts slowly on a busy machine

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
both_in_a_long_run = pytest.mark.parametrize(
    "aws", ["1", pytest.param("2", marks=pytest.mark.long)], indirect=True
)
"""One chapter shows both versions in every run."""

ACCOUNTS = {"1": ACCOUNT, "2": "222222222222"}


@dataclass(frozen=True)
class CommandLine:
    """One version of the command line, and the root of an account of its own."""

    broker: RunningBroker
    program: str
    account: str
    root: Key

    def __call__(self, service: str, *words: str, key: Key | None = None) -> Any:
        """What a command answers; whoever calls without a key is root."""
        key = key or self.root
        named = {
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        }
        if key.session_token:
            named["AWS_SESSION_TOKEN"] = key.session_token
        return self.broker.aws(service, *words, program=self.program, **named)

    def refused(self, code: str, *words: str, key: Key) -> None:
        with pytest.raises(AssertionError, match=rf"\({code}\)"):
            self(*words, key=key)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with running_broker(tmp_path_factory.mktemp("cli")) as made:
        yield made


@pytest.fixture(scope="module", params=["1", "2"])
def aws(request: pytest.FixtureRequest, broker: RunningBroker) -> CommandLine:
    program = AWS_CLI_1 if request.param == "1" else aws_cli_2()
    account = ACCOUNTS[request.param]
    return CommandLine(broker, program, account, broker.create_account(account))


def test_an_administrators_group_is_set_up_and_a_key_rotated(aws: CommandLine) -> None:
    aws("iam", "create-group", "--group-name", "Admins")
    group = ("--group-name", "Admins")
    aws("iam", "attach-group-policy", *group, "--policy-arn", ADMINISTRATOR)
    aws("iam", "create-user", "--user-name", "zoe")
    aws("iam", "add-user-to-group", *group, "--user-name", "zoe")
    made = aws("iam", "create-access-key", "--user-name", "zoe")["AccessKey"]
    old = Key.of(made)
    rotated = aws("iam", "create-access-key", key=old)["AccessKey"]
    new = Key.of(rotated)
    values = ("--access-key-id", old.access_key_id)
    aws("iam", "update-access-key", *values, "--status", "Inactive", key=new)
    aws("iam", "delete-access-key", *values, key=new)
    aws.refused("InvalidClientTokenId", "iam", "list-access-keys", key=old)
    listed = aws("iam", "list-access-keys", key=new)["AccessKeyMetadata"]
    assert [key["AccessKeyId"] for key in listed] == [rotated["AccessKeyId"]]


@both_in_a_long_run
def test_a_password_policy_is_set_and_a_login_profile_made(aws: CommandLine) -> None:
    aws(
        *("iam", "update-account-password-policy", "--minimum-password-length", "12"),
        *("--require-symbols", "--max-password-age", "90"),
    )
    policy = aws("iam", "get-account-password-policy")["PasswordPolicy"]
    assert policy["ExpirePasswords"] is True
    aws("iam", "create-user", "--user-name", "pat")
    create = ("iam", "create-login-profile", "--user-name", "pat")
    aws.refused("PasswordPolicyViolation", *create, "--password", "short", key=aws.root)
    aws(*create, "--password", "Correct-Horse-7", "--password-reset-required")
    profile = aws("iam", "get-login-profile", "--user-name", "pat")["LoginProfile"]
    assert profile["PasswordResetRequired"] is True


@both_in_a_long_run
def test_a_device_is_enabled_and_a_policy_asks_for_it(
    aws: CommandLine, tmp_path: Path
) -> None:
    iam = aws.broker.client("iam", aws.root)
    iam.create_user(UserName="mia")
    key = Key.of(iam.create_access_key(UserName="mia")["AccessKey"])
    seed = tmp_path / "seed"
    made = aws(
        *("iam", "create-virtual-mfa-device", "--virtual-mfa-device-name", "mia"),
        *("--outfile", str(seed), "--bootstrap-method", "Base32StringSeed"),
    )
    serial = made["VirtualMFADevice"]["SerialNumber"]
    assert serial == f"arn:aws:iam::{aws.account}:mfa/mia"
    device = Device(seed.read_text())
    first, second = device.pair().values()
    aws(
        *("iam", "enable-mfa-device", "--user-name", "mia", "--serial-number", serial),
        *("--authentication-code1", first, "--authentication-code2", second),
    )
    document = allow(
        "iam:ListUsers", Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    )
    aws(
        *("iam", "put-user-policy", "--user-name", "mia", "--policy-name", "Guarded"),
        *("--policy-document", document),
    )
    aws.refused("AccessDenied", "iam", "list-users", key=key)
    session = aws(
        *("sts", "get-session-token", "--serial-number", serial),
        *("--token-code", device.code()),
        key=key,
    )
    with_code = Key.of(session["Credentials"])
    assert aws("iam", "list-users", key=with_code)["Users"]


@both_in_a_long_run
def test_unused_permissions_are_found(aws: CommandLine) -> None:
    iam = aws.broker.client("iam", aws.root)
    iam.create_user(UserName="idle")
    iam.put_user_policy(
        UserName="idle", PolicyName="P", PolicyDocument=allow(["iam:GetUser", "s3:*"])
    )
    made = iam.create_access_key(UserName="idle")["AccessKey"]
    aws.broker.client("iam", Key.of(made)).get_user()
    arn = f"arn:aws:iam::{aws.account}:user/idle"
    deadline = time.monotonic() + 30
    used: set[str] = set()
    while not used and time.monotonic() < deadline:
        job = aws("iam", "generate-service-last-accessed-details", "--arn", arn)
        services = aws(
            *("iam", "get-service-last-accessed-details", "--job-id", job["JobId"])
        )["ServicesLastAccessed"]
        assert {service["ServiceNamespace"] for service in services} == {"iam", "s3"}
        used = {
            service["ServiceNamespace"]
            for service in services
            if "LastAuthenticated" in service
        }
    assert used == {"iam"}
    granting = aws(
        *("iam", "list-policies-granting-service-access", "--arn", arn),
        *("--service-namespaces", "s3"),
    )["PoliciesGrantingServiceAccess"]
    assert [policy["PolicyName"] for policy in granting[0]["Policies"]] == ["P"]
    # What is never used is taken away.
    aws(
        *("iam", "put-user-policy", "--user-name", "idle", "--policy-name", "P"),
        *("--policy-document", allow("iam:GetUser")),
    )
    details = aws("iam", "get-account-authorization-details", "--filter", "User")
    (idle,) = (
        entry for entry in details["UserDetailList"] if entry["UserName"] == "idle"
    )
    (kept,) = idle["UserPolicyList"]
    assert kept["PolicyDocument"]["Statement"][0]["Action"] == "iam:GetUser"
