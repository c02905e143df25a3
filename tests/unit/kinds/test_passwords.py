"""Passwords are held against the policy, hashed, sealed and verified at one cost."""

from datetime import timedelta
from runpy import run_path
from typing import Any

import pytest
from msgspec.structs import replace

from broker.errors import AccessDenied, ConcurrentModification, PasswordPolicyViolation
from broker.kinds import login_profiles, passwords
from broker.kinds.login_profiles import PasswordState, verify_password
from broker.kinds.password_policy import check_password
from broker.kinds.passwords import Passwords
from broker.model.account import Account
from broker.stores.directory import kinds
from broker.stores.directory.kinds import LOGIN_PROFILE, USER
from tests.support.iam import ACCOUNT, NOW, Iam
from tests.support.rows import rows

GOOD = "Correct-Horse-7"


def account(**policy: Any) -> Account:
    return Account(
        account_id=ACCOUNT,
        alias="example",
        session_salt=bytes(32),
        created_at=NOW,
        password_policy=policy or None,
    )


@rows("policy, password, missing")
def test_what_a_policy_asks_for_is_named(
    policy: dict[str, Any], password: str, missing: str
) -> None:
    with pytest.raises(PasswordPolicyViolation, match=missing) as caught:
        check_password(account(**policy), "ann", password)
    assert password not in str(caught.value)


def test_without_a_policy_the_names_of_account_and_user_are_refused_as_passwords() -> (
    None
):
    check_password(account(), "ann", GOOD)
    with pytest.raises(PasswordPolicyViolation, match="name of the account"):
        check_password(account(), GOOD.upper(), GOOD)
    with pytest.raises(PasswordPolicyViolation, match="name of the account"):
        check_password(replace(account(), alias=GOOD.lower()), "ann", GOOD)


async def verified(iam: Iam, user: str, password: str) -> Any:
    return await verify_password(
        Passwords(iam.vault),
        iam.directory,
        await iam.directory.find(kinds.ACCOUNT, ACCOUNT),
        user,
        password,
        now=iam.now,
    )


async def test_a_password_proves_its_user_and_nothing_else_does(iam: Iam) -> None:
    await iam("CreateUser", UserName="Ann")
    await iam("CreateUser", UserName="bob")
    await iam("CreateLoginProfile", UserName="Ann", Password=GOOD)
    entity = await verified(iam, "ann", GOOD)
    assert (entity.user.name, entity.state) == ("Ann", PasswordState.GOOD)
    assert await verified(iam, "ann", GOOD + "x") is None
    assert await verified(iam, "bob", GOOD) is None
    assert await verified(iam, "nobody", GOOD) is None
    assert (
        await verify_password(
            Passwords(iam.vault), iam.directory, None, "ann", GOOD, now=NOW
        )
        is None
    )


async def test_the_directory_keeps_no_hash_in_the_clear(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    await iam("CreateLoginProfile", UserName="ann", Password=GOOD)
    user = await iam.directory.named(USER, ACCOUNT, "ann")
    assert user is not None
    profile = await iam.directory.find(LOGIN_PROFILE, ACCOUNT, user.user_id)
    assert profile is not None
    assert b"argon2" not in profile.sealed
    assert "sealed" not in repr(profile)
    assert Passwords(iam.vault).open(profile).current.startswith("$argon2id$")


def test_a_hash_costs_what_owasp_asks_for() -> None:
    afresh = run_path(passwords.__file__)  # all other tests here hash cheaply
    hashed = afresh["_HASHER"].hash(GOOD)
    assert hashed.startswith("$argon2id$v=19$m=47104,t=1,p=1$")


async def test_age_and_reset_make_a_password_due(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    await iam("UpdateAccountPasswordPolicy", MaxPasswordAge=30)
    await iam(
        "CreateLoginProfile", UserName="ann", Password=GOOD, PasswordResetRequired=True
    )
    assert (await verified(iam, "ann", GOOD)).state is PasswordState.MUST_CHANGE
    await iam("UpdateLoginProfile", UserName="ann", PasswordResetRequired=False)
    assert (await verified(iam, "ann", GOOD)).state is PasswordState.GOOD
    iam.now += timedelta(days=30)
    assert (await verified(iam, "ann", GOOD)).state is PasswordState.MUST_CHANGE
    await iam("UpdateAccountPasswordPolicy", MaxPasswordAge=30, HardExpiry=True)
    assert (await verified(iam, "ann", GOOD)).state is PasswordState.HARD_EXPIRED
    user = await iam.directory.named(USER, ACCOUNT, "ann")
    stored_account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    assert user is not None
    assert stored_account is not None
    with pytest.raises(AccessDenied, match="Only an administrator"):
        await login_profiles.prepare_own_password(
            Passwords(iam.vault),
            iam.directory,
            stored_account,
            user,
            old=GOOD,
            new="Another-One-8",
            now=iam.now,
        )


async def test_the_last_passwords_do_not_come_again(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    await iam("UpdateAccountPasswordPolicy", PasswordReusePrevention=2)
    await iam("CreateLoginProfile", UserName="ann", Password="first-1")
    await iam("UpdateLoginProfile", UserName="ann", Password="second-2")
    for password in ("first-1", "second-2"):
        with pytest.raises(PasswordPolicyViolation, match="last 2 passwords"):
            await iam("UpdateLoginProfile", UserName="ann", Password=password)
    await iam("UpdateLoginProfile", UserName="ann", Password="third-3")
    await iam("UpdateLoginProfile", UserName="ann", Password="first-1")


async def test_two_changes_at_once_do_not_overwrite_each_other(iam: Iam) -> None:
    await iam("CreateUser", UserName="ann")
    await iam("CreateLoginProfile", UserName="ann", Password=GOOD)
    stored_account = await iam.directory.find(kinds.ACCOUNT, ACCOUNT)
    user = await iam.directory.named(USER, ACCOUNT, "ann")
    assert stored_account is not None
    assert user is not None
    prepared = await login_profiles.prepare_password(
        Passwords(iam.vault), iam.directory, stored_account, user, "Another-One-8"
    )
    await iam("UpdateLoginProfile", UserName="ann", Password="Somebody-Else-9")
    with pytest.raises(ConcurrentModification):
        async with iam.directory.change(ACCOUNT) as change:
            await login_profiles.replace_password(
                change, prepared, reset_required=False, now=NOW
            )
    assert await verified(iam, "ann", "Somebody-Else-9")
