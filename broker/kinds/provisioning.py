"""People and groups of a provider's directory: what may be written, and how much.

Ids are the broker's, user names and group names are unique within a provider, and so is
whatever attribute proofs are compared with. A deleted person's row stays, without what
it said of them, so that they are refused and not unknown.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from broker.errors import EntityAlreadyExists, NoSuchEntity, ValidationError
from broker.kinds.limits import Quota, require_within
from broker.model.account import Account, AccountId
from broker.model.names import fold_name, folds_into_ascii
from broker.model.provisioned import Membership, ProvisionedGroup, ProvisionedUser
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.kinds import PROVISIONED_GROUP, PROVISIONED_USER
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.provisioning import (
    add_provisioned_members,
    count_provisioned_members,
    find_provisioned_group,
    find_provisioned_user,
    forget_departed_users,
    list_provisioned_memberships,
    list_provisioned_people,
    provisioned_user_ids,
    provisioning_counts,
    remove_from_provisioned_groups,
    update_provisioned_group,
    update_provisioned_user,
)
from broker.stores.errors import AlreadyExistsError

DOCUMENT_CHARACTERS_MAX = 32_768
DEPARTED_MAX = 10_000
"""Deleted people that are remembered, the last ones of each provider."""


class UserFields(Struct, frozen=True, kw_only=True):
    """What a directory says of a person; ``active`` is None where it says nothing."""

    user_name: str
    external_id: str
    email: str
    active: bool | None
    document: str


class ProvisioningSource(Struct, frozen=True):
    """A provider's directory; ``subject`` is the attribute that proofs are about."""

    account: Account
    provider_id: str
    subject: str

    @property
    def account_id(self) -> AccountId:
        """The account's number."""
        return self.account.account_id


async def require_user(
    directory: DirectoryReader, of: ProvisioningSource, user_id: str
) -> ProvisionedUser:
    """A user by id.

    Raises:
        NoSuchEntity: the provider's directory has none, or it was deleted.
    """
    user = await find_provisioned_user(
        directory, of.account_id, of.provider_id, user_id
    )
    if user is None:
        raise NoSuchEntity(f"There is no user {user_id[:80]}.")
    return user


async def require_group(
    directory: DirectoryReader, of: ProvisioningSource, group_id: str
) -> ProvisionedGroup:
    """A group by id.

    Raises:
        NoSuchEntity: the provider's directory has none.
    """
    group = await find_provisioned_group(
        directory, of.account_id, of.provider_id, group_id
    )
    if group is None:
        raise NoSuchEntity(f"There is no group {group_id[:80]}.")
    return group


async def create_user(
    change: DirectoryChange,
    of: ProvisioningSource,
    fields: UserFields,
    *,
    now: datetime,
    not_before: datetime,
) -> ProvisionedUser:
    """Add a person, active unless the directory says otherwise.

    ``not_before`` is until when the end of an inactive one is on its way.

    Raises:
        EntityAlreadyExists: the user name, or the attribute that proofs are compared
            with, is another person's.
        LimitExceeded: the directory has as many people as it may have.
        ValidationError: there is too much of it.
    """
    _check_document(fields)
    _check_names(fields, "", "")
    counts = await provisioning_counts(change, of.account_id, of.provider_id)
    require_within(of.account, Quota.SCIM_USERS, counts.users + 1)
    before = await _require_subject(change, of, fields, "")
    active = fields.active is not False
    ends = [user.not_before for user in before if user.not_before is not None]
    if not active:
        ends.append(not_before)
    user = ProvisionedUser(
        account=of.account_id,
        provider_id=of.provider_id,
        user_id=new_unique_id("SCMU"),
        user_name=fields.user_name,
        external_id=fields.external_id,
        email=fold_name(fields.email),
        active=active,
        document=fields.document,
        created_at=now,
        updated_at=now,
        not_before=max(ends, default=None),
    )
    try:
        await change.insert(PROVISIONED_USER, user)
    except AlreadyExistsError as error:
        raise _taken("userName") from error
    return user


async def update_user(
    change: DirectoryChange,
    of: ProvisioningSource,
    before: ProvisionedUser,
    fields: UserFields,
    *,
    now: datetime,
    not_before: datetime,
) -> ProvisionedUser:
    """Write what the directory says now; nothing is written if it says the same.

    Raises:
        EntityAlreadyExists: as for a new one.
        ValidationError: there is too much of it.
    """
    _check_document(fields)
    _check_names(fields, before.user_name, before.email)
    active = before.active if fields.active is None else fields.active
    after = replace(
        before,
        user_name=fields.user_name,
        external_id=fields.external_id,
        email=fold_name(fields.email),
        active=active,
        document=fields.document,
        not_before=before.not_before if active else not_before,
    )
    if replace(after, not_before=before.not_before) == before:
        return before
    await _require_subject(change, of, fields, before.user_id)
    after = replace(after, version=before.version + 1, updated_at=now)
    try:
        await update_provisioned_user(change, after)
    except AlreadyExistsError as error:
        raise _taken("userName") from error
    return after


async def delete_user(
    change: DirectoryChange,
    user: ProvisionedUser,
    *,
    now: datetime,
    not_before: datetime,
) -> None:
    """Delete a person: what is left serves to refuse them."""
    await remove_from_provisioned_groups(change, user)
    await update_provisioned_user(
        change,
        replace(
            user,
            active=False,
            document="{}",
            updated_at=now,
            not_before=not_before,
            departed_at=now,
        ),
    )
    await forget_departed_users(
        change, user.account, user.provider_id, keep=DEPARTED_MAX
    )


async def create_group(
    change: DirectoryChange,
    of: ProvisioningSource,
    *,
    name: str,
    external_id: str,
    now: datetime,
) -> ProvisionedGroup:
    """Add a group without members.

    Raises:
        EntityAlreadyExists: the name is another group's.
        LimitExceeded: the directory has as many groups as it may have.
    """
    counts = await provisioning_counts(change, of.account_id, of.provider_id)
    require_within(of.account, Quota.SCIM_GROUPS, counts.groups + 1)
    group = ProvisionedGroup(
        account=of.account_id,
        provider_id=of.provider_id,
        group_id=new_unique_id("SCMG"),
        name=name,
        external_id=external_id,
        created_at=now,
        updated_at=now,
    )
    try:
        await change.insert(PROVISIONED_GROUP, group)
    except AlreadyExistsError as error:
        raise _taken("displayName") from error
    return group


async def update_group(
    change: DirectoryChange,
    before: ProvisionedGroup,
    *,
    name: str,
    external_id: str,
    now: datetime,
) -> ProvisionedGroup:
    """Write a group anew, as a version of its own: its members may have changed.

    Raises:
        EntityAlreadyExists: the name is another group's.
    """
    after = replace(
        before,
        name=name,
        external_id=external_id,
        version=before.version + 1,
        updated_at=now,
    )
    try:
        await update_provisioned_group(change, after)
    except AlreadyExistsError as error:
        raise _taken("displayName") from error
    return after


async def add_members(
    change: DirectoryChange,
    of: ProvisioningSource,
    group: ProvisionedGroup,
    ids: Collection[str],
) -> None:
    """Put people into a group.

    Raises:
        ValidationError: one of them is not a user of the provider's directory.
        LimitExceeded: the group has as many members as it may have.
    """
    if not ids:
        return
    known = await provisioned_user_ids(change, of.account_id, of.provider_id, ids)
    unknown = next((text for text in ids if text not in known), None)
    if unknown is not None:
        raise ValidationError(f"{unknown[:80]} is not a user of this directory.")
    await add_provisioned_members(change, group, ids)
    count = await count_provisioned_members(change, of.account_id, group.group_id)
    require_within(of.account, Quota.SCIM_MEMBERS, count)


async def members_of(
    directory: DirectoryReader, group: ProvisionedGroup, *, limit: int
) -> Sequence[Membership]:
    """The members of a group, up to ``limit``."""
    return await list_provisioned_memberships(
        directory, group.account, group_ids=(group.group_id,), limit=limit
    )


async def _require_subject(
    change: DirectoryChange, of: ProvisioningSource, fields: UserFields, user_id: str
) -> Sequence[ProvisionedUser]:
    """Refuse a second person for one proof; returns those that had the value before."""
    value = {
        "userName": fields.user_name,
        "externalId": fields.external_id,
        "emails": fields.email,
    }[of.subject]
    users = await list_provisioned_people(
        change, of.account_id, of.provider_id, of.subject, value
    )
    if any(user.departed_at is None and user.user_id != user_id for user in users):
        raise _taken(of.subject)
    return [user for user in users if user.departed_at is not None]


def _check_names(fields: UserFields, user_name: str, email: str) -> None:
    """Refuse names that are compared as those of others, unless they were there.

    Raises:
        ValidationError: such a character is in one of them.
    """
    for attribute, name, before in (
        ("userName", fields.user_name, user_name),
        ("emails", fields.email, email),
    ):
        if folds_into_ascii(name) and before not in {name, fold_name(name)}:
            raise ValidationError(
                f"{attribute}: {name[:200]} has a character that is compared as an ASCII"
                " letter; provision the name with that letter."
            )


def _check_document(fields: UserFields) -> None:
    if len(fields.document) > DOCUMENT_CHARACTERS_MAX:
        raise ValidationError(
            f"A user may have at most {DOCUMENT_CHARACTERS_MAX} characters in total."
        )


def _taken(attribute: str) -> EntityAlreadyExists:
    return EntityAlreadyExists(f"Another resource has this {attribute}.")
