"""``Users``: the properties of ``AWS::IAM::User``.

Access keys and passwords are secrets, created by API calls and not managed here. When
``--prune`` deletes a user, all its credentials and MFA devices are deleted too.
"""

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, fields, replace
from functools import partial

from broker.identities import kind as rules
from broker.identities import users
from broker.identities.groups import add_user, require_group
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
)
from broker.identities.template.owned import (
    OwnerSpec,
    adopt_names,
    as_present,
    checked_boundary_of,
    given_owned,
    keep_owned,
    load_owned,
    read_owned,
    show_owned,
    write_owned,
)
from broker.identities.template.properties import Properties
from broker.identities.template.user_credentials import (
    NOTHING_SAID,
    UserCredentials,
    complete_credentials,
    delete_credentials,
    keep_credentials,
    load_credentials,
    read_credentials,
    show_credentials,
    write_credentials,
)
from broker.model.account import AccountId
from broker.model.entities import User
from broker.model.page import read_pages
from broker.stores.directory.groups import list_memberships, remove_member
from broker.stores.directory.kinds import ACCESS_KEY, LOGIN_PROFILE, USER
from broker.stores.directory.port import DirectoryReader

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSpec(OwnerSpec):
    """A user with the names of its groups."""

    groups: tuple[str, ...] = field(default=(), metadata={"property": "Groups"})
    credentials: UserCredentials = field(
        default=NOTHING_SAID, metadata={"in_parts": True}
    )


def _user_spec(
    owned: OwnerSpec, groups: Iterable[str], credentials: UserCredentials
) -> UserSpec:
    shared = {one.name: getattr(owned, one.name) for one in fields(OwnerSpec)}
    distinct = {name.lower(): name for name in groups}
    return UserSpec(
        **shared, groups=tuple(sorted(distinct.values())), credentials=credentials
    )


def _parse(properties: Properties, _reading: AccountReading) -> UserSpec:
    groups = properties.texts("Groups")
    credentials = read_credentials(properties)
    return _user_spec(read_owned(properties, "UserName"), groups, credentials)


async def _pages(
    directory: DirectoryReader, account: AccountId
) -> AsyncIterator[list[UserSpec]]:
    async for page in read_pages(partial(directory.page_of, USER, account), _PAGE):
        owned = await load_owned(directory, account, page)
        user_ids = [user.user_id for user in page]
        members = await list_memberships(directory, account, user_ids)
        credentials = await load_credentials(directory, account, user_ids)
        yield [
            _user_spec(
                spec,
                [group.name for group in members.get(user_id, ())],
                credentials.of(user_id),
            )
            for user_id, spec in zip(user_ids, owned, strict=True)
        ]


async def _write_groups(
    work: AccountWork, user: User, before: Iterable[str], after: Iterable[str]
) -> None:
    change, account = work.change, user.account
    for name in set(before) - set(after):
        group = await require_group(change, account, name)
        await remove_member(change, account, group.group_id, user.user_id)
    for name in after:
        group = await require_group(change, account, name)
        await add_user(change, work.account, group, user)


def _keep_unlisted(
    before: UserSpec, after: UserSpec
) -> tuple[UserSpec, tuple[str, ...]]:
    """Keep memberships, keys and certificates unless ``--prune`` is given."""
    kept, named = keep_owned(before, after)
    credentials, held = keep_credentials(before.credentials, after.credentials)
    kept, named = replace(kept, credentials=credentials), (*named, *held)
    given = {name.lower() for name in after.groups}
    others = [name for name in before.groups if name.lower() not in given]
    if not others:
        return kept, named
    groups = tuple(sorted({*after.groups, *others}))
    parts = tuple(f"membership in {name}" for name in others)
    return replace(kept, groups=groups), (*named, *parts)


def _adopt(before: UserSpec, after: UserSpec) -> UserSpec:
    """Names of groups and of inline policies have no case."""
    present = as_present(before.groups)
    groups = tuple(sorted({present(name) for name in after.groups}))
    return replace(adopt_names(before, after), groups=groups)


def _require_calls(
    before: UserSpec | None, after: UserSpec
) -> tuple[UserSpec | None, tuple[str, ...]]:
    """A password is set by an API call."""
    credentials, no_password = complete_credentials(
        NOTHING_SAID if before is None else before.credentials, after.credentials
    )
    settled = replace(after, credentials=credentials)
    if not no_password:
        return settled, ()
    return settled, (f"password of user {after.name}: call CreateLoginProfile",)


async def _create(work: AccountWork, spec: UserSpec) -> None:
    user = await rules.create(users.USERS, given_owned(spec, "UserName"), work.at())
    await write_owned(work, user, None, spec)
    await _write_groups(work, user, (), spec.groups)
    await write_credentials(work, user, NOTHING_SAID, spec.credentials)


async def _update(work: AccountWork, before: UserSpec, after: UserSpec) -> None:
    user = await users.require_user(work.change, work.account.account_id, before.name)
    given = {"NewUserName": after.name, "NewPath": after.path}
    user = replace(
        await users.USERS.change(user, given, work.at()),
        tags=after.tags,
        boundary_arn=await checked_boundary_of(work, after),
    )
    await rules.update(users.USERS, user, work.at())
    await write_owned(work, user, before, after)
    await _write_groups(work, user, before.groups, after.groups)
    await write_credentials(work, user, before.credentials, after.credentials)


async def _delete(work: AccountWork, spec: UserSpec) -> None:
    user = await users.require_user(work.change, work.account.account_id, spec.name)
    await write_owned(work, user, spec, replace(spec, policies={}, attached=()))
    await _write_groups(work, user, spec.groups, ())
    profile = await work.change.find(LOGIN_PROFILE, user.account, user.user_id)
    if profile is not None:
        await work.change.remove(LOGIN_PROFILE, profile)
    for key in await work.change.all_of(ACCESS_KEY, user.account, user_id=user.user_id):
        await work.change.remove(ACCESS_KEY, key)
    await delete_credentials(work, user)
    await users.check_removal(user, work.change)
    await work.change.remove(users.USERS.kind, user)


def _show(spec: UserSpec) -> dict[str, object]:
    return {
        **show_owned(spec, "UserName"),
        "Groups": list(spec.groups),
        **show_credentials(spec.credentials),
    }


USERS: EntityKind[UserSpec] = EntityKind(
    section="Users",
    noun="user",
    parse=_parse,
    pages=_pages,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
    keep_unlisted=_keep_unlisted,
    adopt=_adopt,
    require_calls=_require_calls,
)
