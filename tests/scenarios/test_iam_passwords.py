"""Login profiles, the password policy and users' own passwords, through boto3."""

import json
from typing import Any

from tests.support.broker import Key, RunningBroker
from tests.support.refusals import refused

GOOD = "Correct-Horse-7"
OTHER = "Battery-Staple-8"


def test_a_login_profile_is_made_shown_reset_and_removed(iam: Any) -> None:
    iam.create_user(UserName="ann")
    assert refused(iam.get_login_profile, UserName="ann") == (
        404,
        "NoSuchEntity",
        "Login Profile for User ann cannot be found.",
    )
    made = iam.create_login_profile(
        UserName="ann", Password=GOOD, PasswordResetRequired=True
    )["LoginProfile"]
    assert made["UserName"] == "ann"
    assert made["PasswordResetRequired"] is True
    iam.get_waiter("user_exists").wait(UserName="ann")
    assert refused(iam.create_login_profile, UserName="ann", Password=GOOD).code == (
        "EntityAlreadyExists"
    )
    iam.update_login_profile(UserName="ann", PasswordResetRequired=False)
    profile = iam.get_login_profile(UserName="ann")["LoginProfile"]
    assert profile == {**made, "PasswordResetRequired": False}
    assert refused(iam.delete_user, UserName="ann") == (
        409,
        "DeleteConflict",
        "Cannot delete entity, must delete login profile first.",
    )
    iam.delete_login_profile(UserName="ann")
    assert refused(iam.update_login_profile, UserName="ann", Password=GOOD).code == (
        "NoSuchEntity"
    )
    iam.delete_user(UserName="ann")


def test_a_policy_is_replaced_as_a_whole_and_enforced(iam: Any) -> None:
    assert refused(iam.get_account_password_policy)[:2] == (404, "NoSuchEntity")
    iam.update_account_password_policy(
        MinimumPasswordLength=12, RequireSymbols=True, MaxPasswordAge=90
    )
    iam.update_account_password_policy(MinimumPasswordLength=10, RequireNumbers=True)
    assert iam.get_account_password_policy()["PasswordPolicy"] == {
        "MinimumPasswordLength": 10,
        "RequireSymbols": False,
        "RequireNumbers": True,
        "RequireUppercaseCharacters": False,
        "RequireLowercaseCharacters": False,
        "AllowUsersToChangePassword": False,
        "ExpirePasswords": False,
    }
    iam.create_user(UserName="weak")
    status, code, message = refused(
        iam.create_login_profile, UserName="weak", Password="short"
    )
    assert (status, code) == (400, "PasswordPolicyViolation")
    assert message == (
        "Password should have a minimum length of 10 and at least one number"
    )
    iam.delete_account_password_policy()
    assert refused(iam.delete_account_password_policy).code == "NoSuchEntity"


def test_users_change_their_own_password_by_policy_or_by_setting(
    broker: RunningBroker, iam: Any
) -> None:
    iam.create_user(UserName="self")
    iam.create_login_profile(UserName="self", Password=GOOD)
    key = Key.of(iam.create_access_key(UserName="self")["AccessKey"])
    own = broker.client("iam", key)
    params = {"OldPassword": GOOD, "NewPassword": OTHER}
    assert refused(own.change_password, **params).code == "AccessDenied"
    iam.update_account_password_policy(AllowUsersToChangePassword=True)
    assert own.get_account_password_policy()
    assert refused(own.change_password, OldPassword="wrong", NewPassword=OTHER) == (
        403,
        "AccessDenied",
        "The old password was incorrect.",
    )
    own.change_password(**params)
    assert (
        refused(own.change_password, **params).message
        == "The old password was incorrect."
    )
    deny = {"Effect": "Deny", "Action": "iam:ChangePassword", "Resource": "*"}
    iam.put_user_policy(
        UserName="self",
        PolicyName="Deny",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": deny}),
    )
    back = {"OldPassword": OTHER, "NewPassword": GOOD}
    assert "explicit deny" in refused(own.change_password, **back).message
    iam.delete_user_policy(UserName="self", PolicyName="Deny")
    iam.delete_account_password_policy()
    iam.attach_user_policy(
        UserName="self", PolicyArn="arn:aws:iam::aws:policy/IAMUserChangePassword"
    )
    own.change_password(**back)
    assert refused(iam.change_password, **params)[:2] == (400, "InvalidUserType")


def test_no_password_reaches_log_or_audit_record(
    broker: RunningBroker, iam: Any
) -> None:
    secret = "Unmistakable-Secret-42"
    iam.create_user(UserName="quiet")
    iam.create_login_profile(UserName="quiet", Password=secret)
    refused(iam.create_login_profile, UserName="quiet", Password=secret)
    for path in broker.folder.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
