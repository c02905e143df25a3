"""Passwords: login profiles, ``ChangePassword``, the account's password policy.

A new password is hashed before the transaction begins (``prepare``). A session of
AssumeRoot that names no user is about the root's password; root's other credentials
have to name one. Source: the service model's documentation of ``UserName``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import ActionTarget, change, granted_if, read
from broker.actions.iam.holders import find_user, require_caller
from broker.errors import (
    EntityAlreadyExists,
    InvalidUserType,
    NoSuchEntity,
    UnsupportedOperation,
    ValidationError,
)
from broker.kinds import login_profiles
from broker.kinds.accounts import require_account
from broker.kinds.password_policy import (
    LEAST_LENGTH,
    complete_policy,
    require_policy,
    users_may_change,
)
from broker.kinds.password_policy import PasswordPolicy as PasswordPolicyMembers
from broker.kinds.passwords import Passwords
from broker.kinds.root_password import end_root_sign_in, require_root_password
from broker.model import entities
from broker.model.principal import PrincipalType
from broker.model.request import Params
from broker.model.sealing import SealerOpener
from broker.model.session import SessionKind
from broker.proofs.attempts import Attempts, limit_of_password
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import LOGIN_PROFILE
from broker.stores.directory.port import DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import iam as types


def password_actions(sealer: SealerOpener, attempts: Attempts) -> tuple[Action, ...]:
    """The actions on passwords; ``sealer`` keeps their hashes.

    Wrong old passwords count with those of the sign-in page.
    """
    passwords = Passwords(sealer)

    async def prepare_new(
        params: types.CreateLoginProfileRequest, call: Call
    ) -> login_profiles.PreparedPassword:
        if _is_root_task(params, call):
            await _refuse_root_password(params, call)
        user = await _require_owner(params, call, call.directory)
        if await call.directory.find(LOGIN_PROFILE, call.account, user.user_id):
            raise EntityAlreadyExists(
                f"Login Profile for user {user.name} already exists."
            )
        if "Password" not in params:
            raise ValidationError("Must specify a password.")
        return await _prepare(params["Password"], user, call)

    async def prepare_update(
        params: types.UpdateLoginProfileRequest, call: Call
    ) -> login_profiles.PreparedPassword | None:
        user = await _require_owner(params, call, call.directory)
        await login_profiles.require_login_profile(call.directory, user)
        if "Password" not in params:
            return None
        return await _prepare(params["Password"], user, call)

    async def _prepare(
        password: str, user: entities.User, call: Call
    ) -> login_profiles.PreparedPassword:
        return await login_profiles.prepare_password(
            passwords,
            call.directory,
            await require_account(call.directory, call.account),
            user,
            password,
        )

    async def prepare_own(
        params: types.ChangePasswordRequest, call: Call
    ) -> login_profiles.PreparedPassword:
        user = await _require_self(call, call.directory)
        limit = limit_of_password(call.account, user.user_id)
        async with attempts.one([limit]):
            return await login_profiles.prepare_own_password(
                passwords,
                call.directory,
                await require_account(call.directory, call.account),
                user,
                old=params["OldPassword"],
                new=params["NewPassword"],
                now=call.now,
            )

    return (
        change(
            "CreateLoginProfile",
            _create,
            on.user_or_self,
            prepare=prepare_new,
            unsupported=("MaxSigninSessionDuration",),
            calls=10,
        ),
        read("GetLoginProfile", _get, on.user_or_self),
        change(
            "UpdateLoginProfile",
            _update,
            on.user,
            prepare=prepare_update,
            unsupported=("MaxSigninSessionDuration", "ResetMaxSigninSessionDuration"),
            calls=10,
        ),
        change("DeleteLoginProfile", _delete, on.user_or_self),
        granted_if(
            _users_may_change,
            change("ChangePassword", _change_own, _self, prepare=prepare_own, calls=10),
        ),
        granted_if(
            _users_may_change, read("GetAccountPasswordPolicy", _get_policy, on.account)
        ),
        change("UpdateAccountPasswordPolicy", _update_policy, on.account),
        change("DeleteAccountPasswordPolicy", _delete_policy, on.account),
    )


async def _create(
    params: types.CreateLoginProfileRequest, call: Call
) -> types.CreateLoginProfileResponse:
    prepared = _prepared(call)
    profile = await login_profiles.create_login_profile(
        call.change,
        prepared,
        reset_required=params.get("PasswordResetRequired", False),
        now=call.now,
    )
    return {"LoginProfile": _view(prepared.user.name, profile)}


async def _get(
    params: types.GetLoginProfileRequest, call: Call
) -> types.GetLoginProfileResponse:
    if _is_root_task(params, call):
        profile = await require_root_password(call.directory, call.account)
        return {"LoginProfile": _view(call.account, profile)}
    user = await _require_owner(params, call, call.directory)
    profile = await login_profiles.require_login_profile(call.directory, user)
    return {"LoginProfile": _view(user.name, profile)}


async def _update(params: types.UpdateLoginProfileRequest, call: Call) -> None:
    user = await _require_owner(params, call, call.change)
    profile = await login_profiles.require_login_profile(call.change, user)
    required = params.get("PasswordResetRequired", profile.reset_required)
    if call.prepared is not None:
        await login_profiles.replace_password(
            call.change, _prepared(call), reset_required=required, now=call.now
        )
    else:
        await call.change.update(
            LOGIN_PROFILE, replace(profile, reset_required=required)
        )


async def _delete(params: types.DeleteLoginProfileRequest, call: Call) -> None:
    if _is_root_task(params, call):
        await require_root_password(call.change, call.account)
        await end_root_sign_in(call.change, call.account)
        return
    user = await _require_owner(params, call, call.change)
    profile = await login_profiles.require_login_profile(call.change, user)
    await call.change.remove(LOGIN_PROFILE, profile)


async def _change_own(_given: types.ChangePasswordRequest, call: Call) -> None:
    await login_profiles.replace_password(
        call.change, _prepared(call), reset_required=False, now=call.now
    )


async def _get_policy(
    _given: Params, call: Call
) -> types.GetAccountPasswordPolicyResponse:
    account = await require_account(call.directory, call.account)
    policy = require_policy(account)
    view: types.PasswordPolicy = {
        "MinimumPasswordLength": int(policy.get("MinimumPasswordLength", LEAST_LENGTH)),
        "RequireSymbols": bool(policy.get("RequireSymbols", False)),
        "RequireNumbers": bool(policy.get("RequireNumbers", False)),
        "RequireUppercaseCharacters": bool(
            policy.get("RequireUppercaseCharacters", False)
        ),
        "RequireLowercaseCharacters": bool(
            policy.get("RequireLowercaseCharacters", False)
        ),
        "AllowUsersToChangePassword": users_may_change(account),
        "ExpirePasswords": "MaxPasswordAge" in policy,
    }
    if "MaxPasswordAge" in policy:
        view["MaxPasswordAge"] = int(policy["MaxPasswordAge"])
    if "PasswordReusePrevention" in policy:
        view["PasswordReusePrevention"] = int(policy["PasswordReusePrevention"])
    if "HardExpiry" in policy:
        view["HardExpiry"] = bool(policy["HardExpiry"])
    return {"PasswordPolicy": view}


async def _update_policy(
    params: types.UpdateAccountPasswordPolicyRequest, call: Call
) -> None:
    """Replaces the whole policy: omitted members return to their defaults."""
    account = await require_account(call.change, call.account)
    policy = complete_policy(cast("PasswordPolicyMembers", params))
    await update_account(call.change, replace(account, password_policy=policy))


async def _delete_policy(_given: Params, call: Call) -> None:
    account = await require_account(call.change, call.account)
    if account.password_policy is None:
        raise NoSuchEntity(
            "The account policy with name PasswordPolicy cannot be found."
        )
    await update_account(call.change, replace(account, password_policy=None))


async def _users_may_change(call: Call) -> bool:
    account = await require_account(call.directory, call.account)
    return users_may_change(account)


async def _self(_given: Params, call: Call) -> ActionTarget:
    return await on.user({"UserName": _own_name(call)}, call)


async def _require_self(call: Call, directory: DirectoryReader) -> entities.User:
    _own_name(call)
    return await require_caller(call, directory)


def _own_name(call: Call) -> str:
    principal = call.caller.principal
    if principal.type is not PrincipalType.USER or principal.username is None:
        raise InvalidUserType("Only IAM Users can change their own password.")
    return principal.username


def _is_root_task(params: Params, call: Call) -> bool:
    """Whether a session of AssumeRoot asks about the root itself."""
    session = call.caller.session
    return (
        session is not None
        and session.kind is SessionKind.ROOT_TASK
        and on.own_name(params, call) is None
    )


async def _refuse_root_password(
    params: types.CreateLoginProfileRequest, call: Call
) -> None:
    """In AWS it lets the root recover its password by e-mail; here nothing could."""
    if "Password" in params:
        raise ValidationError("Must not specify a password in an AssumeRoot session.")
    if await call.directory.find(LOGIN_PROFILE, call.account, call.account):
        raise EntityAlreadyExists(
            f"Login Profile for user {call.account} already exists."
        )
    raise UnsupportedOperation(
        "The root cannot recover its password; the operator sets it."
    )


async def _require_owner(
    params: Params, call: Call, directory: DirectoryReader
) -> entities.User:
    user = await find_user(params, call, directory)
    if user is None:
        raise ValidationError("Must specify userName when calling as the root user.")
    return user


def _prepared(call: Call) -> login_profiles.PreparedPassword:
    if not isinstance(call.prepared, login_profiles.PreparedPassword):
        raise TypeError("the password was not prepared")
    return call.prepared


def _view(name: str, profile: entities.LoginProfile) -> types.LoginProfile:
    return {
        "UserName": name,
        # The root's is set by the operator, to the microsecond.
        "CreateDate": profile.created_at.replace(microsecond=0),
        "PasswordResetRequired": profile.reset_required,
    }
