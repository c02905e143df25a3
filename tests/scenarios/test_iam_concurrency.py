"""Administrators at work at the same time: one of them wins, and nothing is half done.

Signed calls over HTTP to a broker in this process, on SQLite and on PostgreSQL.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_asyncio

from tests.support.broker import ACCOUNT, Key
from tests.support.in_process import InProcess, Reply, in_process
from tests.support.policies import allow, trust
from tests.support.tables import own_database

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 10
ROUNDS = 4
EXPECTED = {
    "ConcurrentModification",
    "DeleteConflict",
    "EntityAlreadyExists",
    "LimitExceeded",
    "NoSuchEntity",
}
"""What the later one of two may be told."""
TRUST = trust(ACCOUNT)


class Administrators:
    """Root's key, used many times at once."""

    def __init__(self, broker: InProcess, key: Key) -> None:
        self.broker = broker
        self.key = key

    async def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        return await self.broker.ask("iam", operation, self.key, **params)

    async def code(self, operation: str, **params: Any) -> str:
        """Empty when the call succeeded."""
        reply: Reply = await self.broker.call("iam", operation, self.key, **params)
        assert reply.status == 200 or reply.code in EXPECTED, reply.body
        return reply.code


@pytest_asyncio.fixture(
    scope="module", loop_scope="module", params=["sqlite", "postgresql"]
)
async def iam(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Administrators]:
    folder = tmp_path_factory.mktemp("concurrency")
    if request.param == "sqlite":
        async with in_process(folder) as broker:
            yield Administrators(broker, await broker.create_account(ACCOUNT))
        return
    with own_database() as url:
        async with in_process(folder, database_url=url) as broker:
            yield Administrators(broker, await broker.create_account(ACCOUNT))


async def test_of_many_texts_of_one_policy_a_whole_one_is_in_force(
    iam: Administrators,
) -> None:
    await iam("CreateRole", RoleName="Edited", AssumeRolePolicyDocument=TRUST)
    params = {"RoleName": "Edited", "PolicyName": "P"}
    texts = [allow(f"s3:Action{number}") for number in range(AT_ONCE)]
    codes = await asyncio.gather(
        *(iam.code("PutRolePolicy", **params, PolicyDocument=text) for text in texts)
    )
    written = [text for text, code in zip(texts, codes, strict=True) if not code]
    assert written
    results = await iam("GetRolePolicy", **params)
    assert unquote(results["PolicyDocument"]) in written
    assert (await iam("ListRolePolicies", RoleName="Edited"))["PolicyNames"] == ["P"]


async def test_no_version_of_a_policy_gets_lost(iam: Administrators) -> None:
    made = await iam(
        "CreatePolicy", PolicyName="Versions", PolicyDocument=allow("s3:Get*")
    )
    arn = made["Policy"]["Arn"]
    codes = await asyncio.gather(
        *(
            iam.code(
                "CreatePolicyVersion",
                PolicyArn=arn,
                PolicyDocument=allow(f"s3:Action{number}"),
                SetAsDefault=bool(number % 2),
            )
            for number in range(AT_ONCE)
        )
    )
    versions = (await iam("ListPolicyVersions", PolicyArn=arn))["Versions"]
    assert len(versions) == 1 + codes.count("") <= 5
    assert sum(version["IsDefaultVersion"] for version in versions) == 1
    assert len({version["VersionId"] for version in versions}) == len(versions)


async def test_what_is_being_attached_is_deleted_or_stays_attached(
    iam: Administrators,
) -> None:
    names = [f"Attaching{number}" for number in range(4)]
    for name in names:
        await iam("CreateRole", RoleName=name, AssumeRolePolicyDocument=TRUST)
    for number in range(ROUNDS):
        made = await iam(
            "CreatePolicy", PolicyName=f"Wanted{number}", PolicyDocument=allow("s3:*")
        )
        arn = made["Policy"]["Arn"]
        *attached, deleted = await asyncio.gather(
            *(
                iam.code("AttachRolePolicy", RoleName=name, PolicyArn=arn)
                for name in names
            ),
            iam.code("DeletePolicy", PolicyArn=arn),
        )
        holders = {
            name
            for name in names
            for policy_ in (await iam("ListAttachedRolePolicies", RoleName=name))[
                "AttachedPolicies"
            ]
            if policy_["PolicyArn"] == arn
        }
        if deleted == "":
            assert not holders
            assert await iam.code("GetPolicy", PolicyArn=arn) == "NoSuchEntity"
            assert set(attached) == {"NoSuchEntity"}
            continue
        assert holders == {
            name for name, code in zip(names, attached, strict=True) if not code
        }
        results = await iam("GetPolicy", PolicyArn=arn)
        assert results["Policy"]["AttachmentCount"] == len(holders)


async def test_who_is_being_furnished_is_deleted_or_stays_furnished(
    iam: Administrators,
) -> None:
    await iam("CreateGroup", GroupName="Crowd")
    for number in range(ROUNDS):
        name = f"guest{number}"
        await iam("CreateUser", UserName=name)
        group = {"GroupName": "Crowd", "UserName": name}
        added, key, inline, deleted = await asyncio.gather(
            iam.code("AddUserToGroup", **group),
            iam.code("CreateAccessKey", UserName=name),
            iam.code(
                "PutUserPolicy",
                UserName=name,
                PolicyName="P",
                PolicyDocument=allow("s3:*"),
            ),
            iam.code("DeleteUser", UserName=name),
        )
        members = {
            user["UserName"]
            for user in (await iam("GetGroup", GroupName="Crowd"))["Users"]
        }
        if deleted == "":
            assert {added, key, inline} == {"NoSuchEntity"}
            assert name not in members
            assert await iam.code("GetUser", UserName=name) == "NoSuchEntity"
            continue
        assert (name in members) == (added == "")
        keys = (await iam("ListAccessKeys", UserName=name))["AccessKeyMetadata"]
        assert len(keys) == (key == "")
        names = (await iam("ListUserPolicies", UserName=name))["PolicyNames"]
        assert names == (["P"] if inline == "" else [])


async def test_a_user_who_is_deleted_meanwhile_gets_no_password(
    iam: Administrators,
) -> None:
    for number in range(ROUNDS):
        name = f"brief{number}"
        await iam("CreateUser", UserName=name)
        text, deleted = await asyncio.gather(
            iam.code("CreateLoginProfile", UserName=name, Password="long-Enough-1"),
            iam.code("DeleteUser", UserName=name),
        )
        # Hashing takes longer than deleting, but either may win.
        assert (text, deleted) in {("NoSuchEntity", ""), ("", "DeleteConflict")}


async def test_a_name_is_given_once(iam: Administrators) -> None:
    for operation, params in (
        ("CreateUser", {"UserName": "Once"}),
        ("CreateGroup", {"GroupName": "Once"}),
        ("CreateRole", {"RoleName": "Once", "AssumeRolePolicyDocument": TRUST}),
        ("CreateInstanceProfile", {"InstanceProfileName": "Once"}),
    ):
        codes = Counter(
            await asyncio.gather(
                *(iam.code(operation, **params) for _ in range(AT_ONCE))
            )
        )
        assert codes[""] == 1, operation
        assert set(codes) <= {"", "EntityAlreadyExists", "ConcurrentModification"}


async def test_a_user_never_has_more_keys_than_two(iam: Administrators) -> None:
    await iam("CreateUser", UserName="keys")
    codes = await asyncio.gather(
        *(iam.code("CreateAccessKey", UserName="keys") for _ in range(AT_ONCE))
    )
    listed = (await iam("ListAccessKeys", UserName="keys"))["AccessKeyMetadata"]
    assert len(listed) == codes.count("") <= 2
