"""Machines: their registration, keys and instance profiles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from broker import errors
from broker.kinds.limits import Quota
from broker.kinds.names import require_path
from broker.kinds.rules import Named, Work, finder, require_room
from broker.kinds.tags import KeyCase, given_tags
from broker.model.account import Account, AccountId, parse_account_id
from broker.model.arn import Arn
from broker.model.entities import Role
from broker.model.machines import Instance, InstanceProfile
from broker.model.registered import JoinToken
from broker.runtime.entropy import new_instance_id, new_unique_id
from broker.stores.directory.identities import find_instance_by_key
from broker.stores.directory.kinds import INSTANCE, INSTANCE_PROFILE, JOIN_TOKEN
from broker.stores.directory.port import DirectoryChange, DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import iam as types

_ROLE_INSIDE = "Cannot delete entity, must remove roles from instance profile first."

KEY_BYTES = 32
"""Of an Ed25519 public key. Source: RFC 8032, 5.1.5."""

_INSTANCE_ID = re.compile(r"i-[0-9a-f]{17}")
_ARN_PREFIX = "instance/"
require_instance = finder(INSTANCE, "The instance ID {} does not exist.")
_USED = "This join token has been used. Get a new one."


async def _make(
    params: types.CreateInstanceProfileRequest, work: Work
) -> InstanceProfile:
    tags = given_tags(params.get("Tags", ()), KeyCase.SENSITIVE)
    return InstanceProfile(
        account=work.account,
        profile_id=new_unique_id("AIPA"),
        name=params["InstanceProfileName"],
        path=require_path(params.get("Path", "/")),
        created_at=work.now,
        tags=tags,
    )


def instance_profile_view(
    profile: InstanceProfile, roles: Sequence[types.Role] = ()
) -> types.InstanceProfile:
    """An instance profile as lists show it, with the roles inside."""
    return {
        "Path": profile.path,
        "InstanceProfileName": profile.name,
        "InstanceProfileId": profile.profile_id,
        "Arn": profile.arn,
        "CreateDate": profile.created_at,
        "Roles": list(roles),
    }


async def _check_removal(profile: InstanceProfile, _directory: DirectoryReader) -> None:
    if profile.role_id is not None:
        raise errors.DeleteConflict(_ROLE_INSIDE)


INSTANCE_PROFILES = Named(
    kind=INSTANCE_PROFILE,
    quota=Quota.INSTANCE_PROFILES,
    make=_make,
    view=instance_profile_view,
    check_removal=_check_removal,
    name="InstanceProfileName",
    resource="instance-profile",
    one="InstanceProfile",
    many="InstanceProfiles",
    shown="instance profile",
    missing="Instance Profile {} cannot be found.",
    taken="Instance Profile {0.name} already exists.",
)
require_instance_profile = INSTANCE_PROFILES.require


async def add_role(
    change: DirectoryChange, profile: InstanceProfile, role: Role
) -> None:
    """Put a role into an instance profile.

    Raises:
        LimitExceeded: there is one in it.
    """
    if profile.role_id is not None:
        raise errors.LimitExceeded(
            "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"
        )
    await change.update(INSTANCE_PROFILE, replace(profile, role_id=role.role_id))


async def remove_role(
    change: DirectoryChange, profile: InstanceProfile, role: Role
) -> None:
    """Take a role out of an instance profile.

    Raises:
        NoSuchEntity: it is not in it.
    """
    if profile.role_id != role.role_id:
        raise errors.NoSuchEntity(
            f"Role {role.name} in Instance Profile {profile.name} cannot be found."
        )
    await change.update(INSTANCE_PROFILE, replace(profile, role_id=None))


async def require_in_no_profile(directory: DirectoryReader, role: Role) -> None:
    """Refuse to go on while an instance profile holds a role.

    Raises:
        DeleteConflict: one does.
    """
    if await directory.count(INSTANCE_PROFILE, role.account, role_id=role.role_id):
        raise errors.DeleteConflict(_ROLE_INSIDE)


async def register_with_token(
    change: DirectoryChange,
    account: Account,
    token: JoinToken,
    public_key: bytes,
    *,
    region: str,
    now: datetime,
    lineage: tuple[object, ...],
    provider_id: str = "",
    subject: str = "",
) -> Instance:
    """Admit a machine by a join token as this change reads it, which is used up here.

    A machine that did not get the answer may ask again with the same key, and where a
    certificate made the token, with the next token of the same subject: it comes from
    what that token does then. See `register_instance` for the other arguments.

    Raises:
        AccessDenied: another machine used the token, or its profile is gone.
        InvalidPublicKey: another machine has this key.
        LimitExceeded: the account has as many instances as it may have.
    """
    if token.instance_id:
        known = await change.find(INSTANCE, token.account, token.instance_id)
        if known is None or known.public_key != public_key:
            raise errors.AccessDenied(
                _USED, detail=f"{token.arn} admitted {token.instance_id}"
            )
        return known
    profile = await change.find(INSTANCE_PROFILE, token.account, token.owner_id)
    if profile is None:
        raise errors.AccessDenied(
            "The instance profile of this join token was deleted.",
            detail=f"{token.owner_id} no longer exists",
        )
    instance = await find_instance_by_key(change, token.account, public_key)
    if (
        instance is None
        or not subject
        or (instance.provider_id, instance.subject) != (provider_id, subject)
    ):
        instance = await register_instance(
            change,
            account,
            public_key,
            profile_id=profile.profile_id,
            registered_by=token.arn,
            region=region,
            now=now,
            lineage=lineage,
            provider_id=provider_id,
            subject=subject,
        )
    else:
        instance = replace(instance, lineage=lineage)
        await change.update(INSTANCE, instance)
    await change.update(JOIN_TOKEN, replace(token, instance_id=instance.instance_id))
    return instance


async def register_instance(
    change: DirectoryChange,
    account: Account,
    public_key: bytes,
    *,
    profile_id: str,
    registered_by: str,
    region: str,
    now: datetime,
    lineage: tuple[object, ...],
    provider_id: str = "",
    subject: str = "",
) -> Instance:
    """Register a machine, however it was authenticated.

    ``lineage`` is the row of what it comes from, and ends with; by ``provider_id`` and
    ``subject`` it is known again.

    Raises:
        InvalidPublicKey: another machine has this key.
        LimitExceeded: the account has as many instances as it may have.
    """
    if await find_instance_by_key(change, account.account_id, public_key) is not None:
        raise errors.InvalidPublicKey("Another instance has this public key.")
    await require_room(change, account, INSTANCE, Quota.INSTANCES)
    instance = Instance(
        account=account.account_id,
        instance_id=new_instance_id(),
        region=region,
        public_key=public_key,
        registered_at=now,
        registered_by=registered_by,
        profile_id=profile_id,
        provider_id=provider_id,
        subject=subject,
        lineage=lineage,
    )
    await change.insert(INSTANCE, instance)
    return instance


async def associate_profile(
    change: DirectoryChange, instance: Instance, profile: InstanceProfile | None
) -> Instance:
    """Give a machine this instance profile in place of any other; None takes it away."""
    after = replace(instance, profile_id=profile.profile_id if profile else None)
    await change.update(INSTANCE, after)
    return after


def parse_instance_arn(text: str) -> tuple[AccountId, str]:
    """The account and the id in a machine's ARN.

    Raises:
        ValidationError: it is not a machine's ARN.
    """
    try:
        arn = Arn.parse(text)
        account = parse_account_id(arn.account)
    except ValueError as error:
        raise errors.ValidationError(
            f"{text[:80]} is not an instance's ARN."
        ) from error
    instance_id = arn.resource.removeprefix(_ARN_PREFIX)
    if arn.service != "ec2" or not _INSTANCE_ID.fullmatch(instance_id):
        raise errors.ValidationError(f"{text[:80]} is not an instance's ARN.")
    return account, instance_id
