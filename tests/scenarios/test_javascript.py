"""AWS's JavaScript SDK against a real broker: every operation, its providers."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.installation import ADMIN, READER, Installation, policy, trust
from tests.support.broker import ACCOUNT, REGION, Key

NODE = Path(__file__).parents[1] / "node"
PROGRAM = shutil.which("node")
INSTALLED = (NODE / "node_modules" / "@aws-sdk" / "client-sts").is_dir()
WORKER = f"arn:aws:iam::{ACCOUNT}:role/JsWorker"
CHAINED = f"arn:aws:iam::{ACCOUNT}:role/JsChained"


def test_continuous_integration_has_the_sdk() -> None:
    if "CI" not in os.environ:
        pytest.skip("not in CI")
    assert PROGRAM, "install Node.js"
    assert INSTALLED, "run .ci/setup test"


HAS_SDK = bool(PROGRAM and INSTALLED)
needs_sdk = pytest.mark.skipif(not HAS_SDK, reason="run .ci/setup test with Node.js")


def run(installation: Installation, *steps: dict[str, Any]) -> list[dict[str, Any]]:
    assert PROGRAM is not None
    done = subprocess.run(
        [PROGRAM, "sts.mjs"],
        input=json.dumps(
            {"endpoint": installation.broker.url, "region": REGION, "steps": steps}
        ),
        cwd=NODE,
        env={
            "PATH": os.environ["PATH"],
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": installation.broker.url,
            "AWS_REGION": REGION,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    results: list[dict[str, Any]] = json.loads(done.stdout)
    return results


def plain(key: Key | dict[str, Any]) -> dict[str, str | None]:
    """Credentials as the SDK takes them."""
    if isinstance(key, dict):
        key = Key.of(key)
    results = {
        "accessKeyId": key.access_key_id,
        "secretAccessKey": key.secret_access_key,
        "sessionToken": key.session_token,
    }
    return {name: text for name, text in results.items() if text is not None}


@pytest.fixture(scope="module")
def user(installation: Installation) -> Key:
    iam = installation.iam
    iam.create_user(UserName="node")
    iam.put_user_policy(
        UserName="node", PolicyName="All", PolicyDocument=policy("sts:*")
    )
    for role in ("JsWorker", "JsChained"):
        iam.create_role(
            RoleName=role,
            AssumeRolePolicyDocument=trust(
                ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "sts:AssumeRole", None)
            ),
        )
        iam.put_role_policy(
            RoleName=role, PolicyName="All", PolicyDocument=policy("sts:*")
        )
    iam.enable_outbound_web_identity_federation()
    return Key.of(iam.create_access_key(UserName="node")["AccessKey"])


@needs_sdk
def test_every_operation_answers_the_sdk(installation: Installation, user: Key) -> None:
    mine = plain(user)
    role = installation.broker.client("sts", user).assume_role(
        RoleArn=WORKER, RoleSessionName="js"
    )["Credentials"]

    def call(command: str, credentials: Any = mine, **params: Any) -> dict[str, Any]:
        return {
            "action": "call",
            "command": command,
            "credentials": credentials,
            "input": params,
        }

    task = "arn:aws:iam::aws:policy/root-task/S3UnlockBucketPolicy"
    assume = {"RoleArn": WORKER, "RoleSessionName": "js"}
    steps: dict[str, dict[str, Any]] = {
        "AssumeRole": assume,
        "AssumeRoleWithSAML": {
            "RoleArn": READER,
            "PrincipalArn": f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp",
            "SAMLAssertion": installation.assertion(),
        },
        "AssumeRoleWithWebIdentity": {
            "RoleArn": READER,
            "RoleSessionName": "js",
            "WebIdentityToken": installation.issuer.issuer.token(),
        },
        "GetAccessKeyInfo": {"AccessKeyId": user.access_key_id},
        "GetCallerIdentity": {},
        "GetFederationToken": {"Name": "guest"},
        "GetSessionToken": {},
        "GetWebIdentityToken": {"Audience": ["a"], "SigningAlgorithm": "ES384"},
    }
    refused: dict[str, tuple[dict[str, Any], str]] = {
        "AssumeRoot": (
            {"TargetPrincipal": ACCOUNT, "TaskPolicyArn": {"arn": task}},
            "AccessDenied",
        ),
        "DecodeAuthorizationMessage": (
            {"EncodedMessage": "AAAA"},
            "InvalidAuthorizationMessageException",
        ),
        "GetDelegatedAccessToken": (
            {"TradeInToken": "AAAA"},
            "ExpiredTradeInTokenException",
        ),
    }
    results = run(
        installation,
        *(call(name, **params) for name, params in steps.items()),
        call("GetScopedCredentials", plain(role), DurationSeconds=60),
        *(call(name, **params) for name, (params, _) in refused.items()),
    )
    good = results[: len(steps) + 1]
    for name, result in zip([*steps, "GetScopedCredentials"], good, strict=True):
        assert "answer" in result, (name, result)
    assert good[4]["answer"]["Arn"].endswith(":user/node")
    assert good[-1]["answer"]["ScopedPoliciesCount"] == 0
    for (_, code), result in zip(refused.values(), results[len(good) :], strict=True):
        assert result["name"] == code


@needs_sdk
def test_the_sdks_own_providers_get_credentials(
    installation: Installation, user: Key, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(installation.issuer.issuer.token())
    printer = tmp_path / "print.json"
    session = installation.broker.client("sts", user).get_session_token()["Credentials"]
    printer.write_text(
        json.dumps(
            {"Version": 1, **session, "Expiration": session["Expiration"].isoformat()}
        )
    )
    profiles = tmp_path / "config"
    profiles.write_text(
        f"""[base]
aws_access_key_id = {user.access_key_id}
aws_secret_access_key = {user.secret_access_key}
[worker]
role_arn = {WORKER}
role_session_name = ini
source_profile = base
[chained]
role_arn = {CHAINED}
role_session_name = chained
source_profile = worker
[token]
role_arn = {READER}
role_session_name = file
web_identity_token_file = {token}
[process]
credential_process = cat {printer}
"""
    )
    web = {"roleArn": READER, "roleSessionName": "web"}
    chain = [
        {"RoleArn": WORKER, "RoleSessionName": "first"},
        {"RoleArn": CHAINED, "RoleSessionName": "second"},
    ]
    ini = {"action": "profile", "filepath": str(profiles)}
    results = run(
        installation,
        {"action": "temporary", "credentials": plain(user), "chain": chain[:1]},
        {"action": "temporary", "credentials": plain(user), "chain": chain},
        {
            "action": "webToken",
            **web,
            "webIdentityToken": installation.issuer.issuer.token(),
        },
        {"action": "tokenFile", **web, "webIdentityTokenFile": str(token)},
        ini | {"profile": "worker"},
        ini | {"profile": "chained"},
        ini | {"profile": "token"},
        {"action": "process", "profile": "process", "filepath": str(profiles)},
    )
    arns = [result.get("answer", result).get("Arn", result) for result in results]
    sessions = f"arn:aws:sts::{ACCOUNT}:assumed-role"
    assert arns == [
        f"{sessions}/JsWorker/first",
        f"{sessions}/JsChained/second",
        f"{sessions}/Reader/web",
        f"{sessions}/Reader/web",
        f"{sessions}/JsWorker/ini",
        f"{sessions}/JsChained/chained",
        f"{sessions}/Reader/file",
        f"arn:aws:iam::{ACCOUNT}:user/node",
    ]


@needs_sdk
def test_modelled_and_other_errors_reach_the_sdk(
    installation: Installation, user: Key
) -> None:
    def call(command: str, **params: Any) -> dict[str, Any]:
        return {
            "action": "call",
            "command": command,
            "credentials": plain(user),
            "input": params,
        }

    denied, malformed, invalid = run(
        installation,
        call("AssumeRole", RoleArn=ADMIN, RoleSessionName="js"),
        call("GetFederationToken", Name="guest", Policy="{}"),
        call(
            "AssumeRoleWithWebIdentity",
            RoleArn=READER,
            RoleSessionName="js",
            WebIdentityToken="nothing",
        ),
    )
    assert denied["name"] == "AccessDenied"
    assert denied["message"].endswith(f"sts:AssumeRole on resource: {ADMIN}")
    assert malformed["name"] == "MalformedPolicyDocumentException"
    assert invalid["name"] == "InvalidIdentityTokenException"
