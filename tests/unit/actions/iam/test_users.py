"""Users and their access keys."""

import pytest

from broker.errors import (
    EntityAlreadyExists,
    InvalidClientTokenId,
    NoSuchEntity,
    ValidationError,
)
from broker.model.account import find_account_of_key_id
from broker.model.entities import ACCESS_KEY_SEAL
from broker.model.principal import Principal
from broker.model.request import Door
from broker.model.session import Caller, Session, SessionKind
from broker.stores.directory.identities import find_access_key
from broker.stores.directory.kinds import USER
from tests.support.iam import ACCOUNT, NOW, Iam, policy


async def user_caller(iam: Iam, name: str) -> Iam:
    user = await iam.directory.named(USER, ACCOUNT, name)
    assert user is not None
    principal = Principal.user(
        ACCOUNT, user_id=user.user_id, path=user.path, name=user.name
    )
    return iam.as_caller(Caller(principal=principal))


def session(kind: SessionKind, mfa_at: int | None = None) -> Session:
    return Session(
        access_key_id="ASIA",
        account=ACCOUNT,
        kind=kind,
        principal_id="x",
        name="s",
        issued_at_ms=0,
        expires_at=1,
        mfa_at=mfa_at,
    )


async def test_a_caller_renamed_during_the_call_is_found_by_id(
    iam: Iam,
) -> None:
    await iam("CreateUser", UserName="ann")
    ann = await user_caller(iam, "ann")
    await iam("UpdateUser", UserName="ann", NewUserName="anna")
    await iam("CreateUser", UserName="ann")
    assert (await ann("CreateAccessKey"))["AccessKey"]["UserName"] == "anna"
    assert (await ann("GetUser"))["User"]["UserName"] == "anna"
    for user in ("ann", "anna"):
        keys = (await iam("ListAccessKeys", UserName=user))["AccessKeyMetadata"]
        assert len(keys) == (user == "anna")


async def test_without_a_name_the_caller_is_meant(iam: Iam) -> None:
    root = (await iam("GetUser"))["User"]
    assert root["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert root["UserId"] == ACCOUNT
    await iam("CreateUser", UserName="ann")
    ann = await user_caller(iam, "ann")
    assert (await ann("GetUser"))["User"]["UserName"] == "ann"
    key = (await ann("CreateAccessKey"))["AccessKey"]
    assert key["UserName"] == "ann"
    role = Principal.role_session(
        ACCOUNT, role_id="AROA", path="/", role_name="R", session_name="s"
    )
    with pytest.raises(ValidationError) as caught:
        await iam.as_caller(Caller(principal=role))("GetUser")
    assert caught.value.message == (
        "Must specify userName when calling with non-User credentials"
    )


async def test_a_key_carries_its_account_and_its_secret_is_sealed_to_it(
    iam: Iam,
) -> None:
    await iam("CreateUser", UserName="ann")
    made = (await iam("CreateAccessKey", UserName="ann"))["AccessKey"]
    assert made["AccessKeyId"].startswith("AKIA")
    assert find_account_of_key_id(made["AccessKeyId"]) == ACCOUNT
    key = await find_access_key(iam.directory, made["AccessKeyId"])
    assert key is not None
    assert made["SecretAccessKey"].encode() not in key.sealed_secret
    purpose, column = ACCESS_KEY_SEAL
    opened = iam.vault.open_sealed(
        purpose, ACCOUNT, key.access_key_id, column, key.sealed_secret
    )
    assert opened.decode() == made["SecretAccessKey"]


async def test_root_manages_keys_of_its_own(iam: Iam) -> None:
    made = (await iam("CreateAccessKey"))["AccessKey"]
    assert "UserName" not in made
    await iam("DeleteAccessKey", AccessKeyId=made["AccessKeyId"])
    assert (await iam("ListAccessKeys"))["AccessKeyMetadata"] == []


@pytest.mark.parametrize(
    ("kind", "mfa_at"),
    [(SessionKind.SESSION_TOKEN, None), (SessionKind.FEDERATION_TOKEN, None)],
)
async def test_some_sessions_do_not_call_iam(
    iam: Iam, kind: SessionKind, mfa_at: int | None
) -> None:
    caller = Caller(principal=Principal.root(ACCOUNT), session=session(kind, mfa_at))
    with pytest.raises(InvalidClientTokenId):
        await iam.as_caller(caller)("ListUsers")


async def test_a_session_with_mfa_calls_iam(iam: Iam) -> None:
    held = session(SessionKind.SESSION_TOKEN, int(NOW.timestamp()))
    caller = Caller(principal=Principal.root(ACCOUNT), session=held)
    assert (await iam.as_caller(caller)("ListUsers"))["Users"] == []


async def test_a_federated_user_acts_in_the_console_but_not_through_the_api(
    iam: Iam,
) -> None:
    held = session(SessionKind.FEDERATION_TOKEN)
    caller = iam.as_caller(Caller(principal=Principal.root(ACCOUNT), session=held))
    caller.door = Door.CONSOLE
    assert (await caller("ListUsers"))["Users"] == []


async def test_the_alias_is_one_unique_and_no_account_id(iam: Iam) -> None:
    from tests.support.iam import OTHER

    await iam("CreateAccountAlias", AccountAlias="first")
    await iam("CreateAccountAlias", AccountAlias="second")
    assert (await iam("ListAccountAliases"))["AccountAliases"] == ["second"]
    other = iam.as_caller(Caller(principal=Principal.root(OTHER)))
    with pytest.raises(EntityAlreadyExists, match="The account alias second already"):
        await other("CreateAccountAlias", AccountAlias="second")
    with pytest.raises(NoSuchEntity):
        await other("DeleteAccountAlias", AccountAlias="second")
    with pytest.raises(ValidationError):
        await iam("CreateAccountAlias", AccountAlias="123456789012")
    await iam("DeleteAccountAlias", AccountAlias="second")
    assert (await iam("ListAccountAliases"))["AccountAliases"] == []


async def test_a_rename_keeps_the_unique_id_and_all_that_is_owned(iam: Iam) -> None:
    before = (await iam("CreateUser", UserName="ann"))["User"]
    await iam("CreateUser", UserName="bob")
    await iam("PutUserPolicy", UserName="ann", PolicyName="P", PolicyDocument=policy())
    with pytest.raises(EntityAlreadyExists, match="User with name Bob already"):
        await iam("UpdateUser", UserName="ann", NewUserName="Bob")
    await iam("UpdateUser", UserName="ann", NewUserName="Ann", NewPath="/q/")
    after = (await iam("GetUser", UserName="ann"))["User"]
    assert after["UserId"] == before["UserId"]
    assert after["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/q/Ann"
    assert (await iam("ListUserPolicies", UserName="ann"))["PolicyNames"] == ["P"]
    with pytest.raises(NoSuchEntity, match="The user with name x cannot be found"):
        await iam("UpdateUser", UserName="x", NewUserName="y")
