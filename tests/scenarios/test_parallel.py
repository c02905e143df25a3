"""Many at once: each mint is a session of its own and on record, no change is lost."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.scenarios.installation import READER, Installation, policy, trust
from tests.support.broker import ACCOUNT, Key

CLIENTS = 12
EACH = 25
WRITERS = 8
CHANGES = 8
WORKER = f"arn:aws:iam::{ACCOUNT}:role/ParallelWorker"

Mint = Callable[[Any, str], dict[str, Any]]


@pytest.fixture(scope="module")
def user(installation: Installation) -> Key:
    iam = installation.iam
    iam.create_user(UserName="parallel")
    iam.put_user_policy(
        UserName="parallel", PolicyName="Own", PolicyDocument=policy("sts:*")
    )
    iam.create_role(
        RoleName="ParallelWorker",
        AssumeRolePolicyDocument=trust(({"AWS": ACCOUNT}, "sts:AssumeRole", None)),
    )
    return Key.of(iam.create_access_key(UserName="parallel")["AccessKey"])


def mint_from_everywhere(
    installation: Installation, key: Key | None, mint: Mint, prefix: str
) -> dict[str, dict[str, Any]]:
    """Answers by session name; every client has a connection of its own."""

    def work(client: int) -> dict[str, dict[str, Any]]:
        sts = installation.broker.client("sts", key)
        names = [f"{prefix}-{client}-{number}" for number in range(EACH)]
        return {name: mint(sts, name) for name in names}

    with ThreadPoolExecutor(CLIENTS) as pool:
        parts = list(pool.map(work, range(CLIENTS)))
    return {name: answer for part in parts for name, answer in part.items()}


def require_all_of_their_own(
    installation: Installation, answers: dict[str, dict[str, Any]], action: str
) -> None:
    assert len(answers) == CLIENTS * EACH
    ids = {answer["Credentials"]["AccessKeyId"] for answer in answers.values()}
    tokens = {answer["Credentials"]["SessionToken"] for answer in answers.values()}
    secrets = {answer["Credentials"]["SecretAccessKey"] for answer in answers.values()}
    assert len(ids) == len(tokens) == len(secrets) == len(answers)
    for name, answer in answers.items():
        assert answer["AssumedRoleUser"]["Arn"].endswith(f"/{name}")
    printed = installation.broker.command("audit", "--json", "--limit", "2000")
    recorded = {
        entry["session"]["access_key_id"]: entry["parameters"]["RoleSessionName"]
        for entry in map(json.loads, printed.splitlines())
        if entry.get("session") and entry["action"] == f"sts:{action}"
    }
    assert {
        answer["Credentials"]["AccessKeyId"]: name for name, answer in answers.items()
    }.items() <= recorded.items()
    for name in list(answers)[:: len(answers) // 5]:
        assert installation.identity(answers[name])["Arn"].endswith(f"/{name}")


def test_hundreds_assume_one_role_at_once(
    installation: Installation, user: Key
) -> None:
    def assume(sts: Any, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = sts.assume_role(RoleArn=WORKER, RoleSessionName=name)
        return answer

    answers = mint_from_everywhere(installation, user, assume, "signed")
    require_all_of_their_own(installation, answers, "AssumeRole")


def test_hundreds_exchange_tokens_for_one_role_at_once(
    installation: Installation,
) -> None:
    token = installation.issuer.issuer.token()

    def exchange(sts: Any, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = sts.assume_role_with_web_identity(
            RoleArn=READER, RoleSessionName=name, WebIdentityToken=token
        )
        return answer

    answers = mint_from_everywhere(installation, None, exchange, "token")
    require_all_of_their_own(installation, answers, "AssumeRoleWithWebIdentity")


def test_eight_clients_change_one_account_at_once_and_no_change_is_lost(
    installation: Installation,
) -> None:
    """All put tags on one user and members into one group."""
    iam = installation.iam
    iam.create_user(UserName="shared")
    iam.create_group(GroupName="Crowd")

    def work(client: int) -> None:
        mine = installation.broker.client("iam", installation.root)
        for number in range(CHANGES):
            name = f"crowd-{client}-{number}"
            mine.create_user(UserName=name)
            mine.add_user_to_group(GroupName="Crowd", UserName=name)
            tag = {"Key": f"client-{client}", "Value": str(number)}
            mine.tag_user(UserName="shared", Tags=[tag])

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(work, range(WRITERS)))
    tags = iam.list_user_tags(UserName="shared")["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {
        f"client-{client}": str(CHANGES - 1) for client in range(WRITERS)
    }
    members = iam.get_group(GroupName="Crowd")["Users"]
    assert {user["UserName"] for user in members} == {
        f"crowd-{client}-{number}"
        for client in range(WRITERS)
        for number in range(CHANGES)
    }
