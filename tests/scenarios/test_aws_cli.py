"""The AWS command line: all of STS, and every way it gets credentials by itself."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.scenarios.installation import READER, Installation, policy, trust
from tests.support.broker import ACCOUNT, Key

WORKER = f"arn:aws:iam::{ACCOUNT}:role/CliWorker"
CHAINED = f"arn:aws:iam::{ACCOUNT}:role/CliChained"
SESSIONS = f"arn:aws:sts::{ACCOUNT}:assumed-role"
MEMBER = "555555555555"


def environment(key: Key | dict[str, Any]) -> dict[str, str]:
    if isinstance(key, dict):
        key = Key.of(key["Credentials"])
    results = {
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
    }
    if key.session_token:
        results["AWS_SESSION_TOKEN"] = key.session_token
    return results


@pytest.fixture(scope="module")
def user(installation: Installation) -> Key:
    iam = installation.iam
    iam.create_user(UserName="cli")
    iam.put_user_policy(UserName="cli", PolicyName="A", PolicyDocument=policy("sts:*"))
    for role in ("CliWorker", "CliChained"):
        iam.create_role(
            RoleName=role,
            AssumeRolePolicyDocument=trust(
                ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "sts:AssumeRole", None)
            ),
        )
        iam.put_role_policy(
            RoleName=role, PolicyName="A", PolicyDocument=policy("sts:*")
        )
    return Key.of(iam.create_access_key(UserName="cli")["AccessKey"])


def test_all_twelve_operations(installation: Installation, user: Key) -> None:
    broker = installation.broker
    root, mine = environment(installation.root), environment(user)

    def sts(*words: str, key: dict[str, str] = mine) -> dict[str, Any]:
        return broker.aws("sts", *words, **key)

    def refused(code: str, *words: str, key: dict[str, str] = mine) -> None:
        with pytest.raises(AssertionError, match=rf"\({code}\)"):
            sts(*words, key=key)

    assert sts("get-caller-identity")["Arn"].endswith(":user/cli")
    info = sts("get-access-key-info", "--access-key-id", user.access_key_id)
    assert info["Account"] == ACCOUNT
    session = environment(sts("get-session-token", "--duration-seconds", "900"))
    assert sts("get-caller-identity", key=session)["Arn"].endswith(":user/cli")
    lent = sts("get-federation-token", "--name", "guest", "--policy", policy("sts:*"))
    assert lent["FederatedUser"]["FederatedUserId"] == f"{ACCOUNT}:guest"
    role = sts("assume-role", "--role-arn", WORKER, "--role-session-name", "cli")
    key = environment(role)
    assert sts("get-caller-identity", key=key)["Arn"] == f"{SESSIONS}/CliWorker/cli"
    # The one operation that the command line's release leaves out.
    narrow = broker.client("sts", Key.of(role["Credentials"])).get_scoped_credentials(
        DurationSeconds=60
    )
    assert narrow["SessionInfo"]["Arn"] == f"{SESSIONS}/CliWorker/cli"
    saml = sts(
        *("assume-role-with-saml", "--role-arn", READER),
        *("--principal-arn", f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp"),
        *("--saml-assertion", installation.assertion()),
        key={},
    )
    assert saml["AssumedRoleUser"]["Arn"].startswith(f"{SESSIONS}/Reader/")
    web = sts(
        *("assume-role-with-web-identity", "--role-arn", READER),
        *("--role-session-name", "cli"),
        *("--web-identity-token", installation.issuer.issuer.token()),
        key={},
    )
    assert web["AssumedRoleUser"]["Arn"] == f"{SESSIONS}/Reader/cli"
    broker.aws("iam", "enable-outbound-web-identity-federation", **root)
    asked = ("get-web-identity-token", "--audience", "a", "--signing-algorithm")
    assert sts(*asked, "ES384")["WebIdentityToken"].count(".") == 2
    broker.create_account(MEMBER)
    broker.set_options(MEMBER, RootManagedBy=ACCOUNT)
    time.sleep(1.1)
    task = "arn=arn:aws:iam::aws:policy/root-task/IAMAuditRootUserCredentials"
    assume_root = ("assume-root", "--target-principal", MEMBER, "--task-policy-arn")
    as_root = environment(sts(*assume_root, task))
    who = sts("get-caller-identity", key=as_root)
    assert who["Arn"] == f"arn:aws:iam::{MEMBER}:root"
    refused("AccessDenied", *assume_root, task, key=root)
    refused(
        "ExpiredTradeInTokenException",
        *("get-delegated-access-token", "--trade-in-token", "abc"),
    )
    decode = ("decode-authorization-message", "--encoded-message")
    refused("InvalidAuthorizationMessageException", *decode, "AAAA")
    denied = denial(installation, user)
    decoded = json.loads(sts(*decode, denied)["DecodedMessage"])
    assert decoded["context"]["action"] == "sts:AssumeRole"


def denial(installation: Installation, user: Key) -> str:
    """The encoded message of a call that is refused."""
    client = installation.broker.client("sts", user)
    with pytest.raises(client.exceptions.ClientError) as caught:
        client.assume_role(RoleArn=READER, RoleSessionName="cli")
    return str(caught.value.response["Error"]["EncodedMessage"])


def test_profiles_get_their_own_credentials(
    installation: Installation, user: Key, tmp_path: Path
) -> None:
    broker = installation.broker
    token = tmp_path / "token"
    token.write_text(installation.issuer.issuer.token())
    printer = tmp_path / "print.py"
    # Hands out credentials that end in a few seconds, new ones each time.
    printer.write_text(_PRINTER)
    config = tmp_path / "config"
    config.write_text(
        f"""[profile base]
aws_access_key_id = {user.access_key_id}
aws_secret_access_key = {user.secret_access_key}
[profile worker]
role_arn = {WORKER}
role_session_name = one
source_profile = base
[profile chained]
role_arn = {CHAINED}
role_session_name = two
source_profile = worker
[profile token]
role_arn = {READER}
role_session_name = file
web_identity_token_file = {token}
[profile process]
credential_process = {sys.executable} {printer} {broker.url} {WORKER} {tmp_path}
"""
    )
    files = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(config)}
    for profile, arn in {
        "worker": f"{SESSIONS}/CliWorker/one",
        "chained": f"{SESSIONS}/CliChained/two",
        "token": f"{SESSIONS}/Reader/file",
    }.items():
        who = broker.aws("sts", "get-caller-identity", "--profile", profile, **files)
        assert who["Arn"] == arn
    refreshing_across_expiry(files, broker.url)


_PRINTER = """
import json, pathlib, sys
import boto3
url, role, folder = sys.argv[1:]
given = dict(endpoint_url=url, region_name="eu-west-3")
base = boto3.Session(profile_name="base").client("sts", **given)
counted = pathlib.Path(folder, "count")
count = int(counted.read_text()) + 1 if counted.exists() else 1
counted.write_text(str(count))
wide = base.assume_role(RoleArn=role, RoleSessionName=f"n{count}")["Credentials"]
sts = boto3.client(
    "sts",
    aws_access_key_id=wide["AccessKeyId"],
    aws_secret_access_key=wide["SecretAccessKey"],
    aws_session_token=wide["SessionToken"],
    **given,
)
short = sts.get_scoped_credentials(DurationSeconds=3)["Credentials"]
print(json.dumps({"Version": 1, **short}, default=lambda moment: moment.isoformat()))
"""


def refreshing_across_expiry(files: dict[str, str], url: str) -> None:
    """boto3 asks its process again when what it has ends."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in files.items():
            patch.setenv(name, value)
        sts: Any = boto3.Session(profile_name="process").client(
            "sts", endpoint_url=url, region_name="eu-west-3"
        )
        first = sts.get_caller_identity()["Arn"]
        time.sleep(3.2)
        second = sts.get_caller_identity()["Arn"]
    assert first.startswith(f"{SESSIONS}/CliWorker/n")
    assert second.startswith(f"{SESSIONS}/CliWorker/n")
    assert first != second
