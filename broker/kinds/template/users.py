"""``Users``: the properties of ``AWS::IAM::User``.

Access keys and passwords are secrets, created by API calls and not managed here. When
``--prune`` deletes a user, all its credentials and MFA devices are deleted too.
"""

from collections.abc import Iterable, Sequence

from broker.kinds import users
from broker.kinds.groups import add_user, require_group
from broker.kinds.template.errors import at_place
from broker.kinds.template.kind import AccountWork
from broker.kinds.template.owned import (
    BOUNDED,
    POLICIES,
    adopt_names,
    as_present,
    clear_owned,
    finish_bounded,
    further_owned,
    keep_owned,
    short_name,
    show_policies,
    write_owned,
)
from broker.kinds.template.properties import Properties
from broker.kinds.template.section import Described, Members, Section
from broker.kinds.template.user_credentials import (
    CREDENTIALS,
    SHOWN_CREDENTIALS,
    clear_credentials,
    complete_credentials,
    further_credentials,
    keep_credentials,
    write_credentials,
)
from broker.model.entities import User
from broker.stores.directory.groups import list_memberships, remove_member
from broker.stores.directory.port import DirectoryReader

_GROUPS = "Groups"


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name.lower(): name for name in names}.values()))


def _read_groups(properties: Properties, name: str) -> tuple[str, ...]:
    return _distinct(properties.texts(name))


async def _further(page: Sequence[User], directory: DirectoryReader) -> list[Members]:
    if not page:
        return []
    account, user_ids = page[0].account, [user.user_id for user in page]
    members = await list_memberships(directory, account, user_ids)
    return [
        {
            **owned,
            _GROUPS: _distinct(group.name for group in members.get(user.user_id, ())),
            **credentials,
        }
        for user, owned, credentials in zip(
            page,
            await further_owned(page, directory),
            await further_credentials(page, directory),
            strict=True,
        )
    ]


async def _write(
    work: AccountWork, user: User, before: Members, after: Members
) -> None:
    await write_owned(work, user, before, after)
    change, account, wanted = work.change, user.account, after.get(_GROUPS, ())
    for name in set(before.get(_GROUPS, ())) - set(wanted):
        group = await require_group(change, account, name)
        await remove_member(change, account, group.group_id, user.user_id)
    for name in wanted:
        with at_place(f"{_GROUPS}.{name}"):
            group = await require_group(change, account, name)
            await add_user(change, work.account, group, user)
    await write_credentials(work, user, before, after)


def _keep(before: Members, after: Members) -> tuple[Members, tuple[str, ...]]:
    """Keep memberships, keys and certificates unless ``--prune`` is given."""
    kept, named = keep_owned(before, after)
    kept, held = keep_credentials(before, kept)
    given = {name.lower() for name in after[_GROUPS]}
    others = [name for name in before[_GROUPS] if name.lower() not in given]
    groups = tuple(sorted({*after[_GROUPS], *others}))
    parts = tuple(f"membership in {name}" for name in others)
    return {**kept, _GROUPS: groups}, (*named, *held, *parts)


def _adopt(before: Members, after: Members) -> Members:
    """Names of groups and of inline policies have no case."""
    present = as_present(before[_GROUPS])
    groups = tuple(sorted({present(name) for name in after[_GROUPS]}))
    return {**adopt_names(before, after), _GROUPS: groups}


def _require_calls(
    before: Members | None, after: Members
) -> tuple[Members, tuple[str, ...]]:
    """A password is set by an API call."""
    settled, no_password = complete_credentials(before or {}, after)
    if not no_password:
        return settled, ()
    return settled, (f"password of user {after['UserName']}: call CreateLoginProfile",)


async def _clear(work: AccountWork, there: Described) -> None:
    user: User = there.found
    await clear_owned(work, there)
    for name in there.properties[_GROUPS]:
        group = await require_group(work.change, user.account, name)
        await remove_member(work.change, user.account, group.group_id, user.user_id)
    await clear_credentials(work, user)
    await users.check_removal(user, work.change)


USERS = Section(
    section="Users",
    of=users.USERS,
    name="UserName",
    reads={
        "UserName": short_name,
        "Path": Properties.path,
        **BOUNDED,
        _GROUPS: _read_groups,
        **CREDENTIALS,
    },
    renamed={"UserName": "NewUserName", "Path": "NewPath"},
    further=_further,
    shows={POLICIES: show_policies, **SHOWN_CREDENTIALS},
    finish=finish_bounded,
    write=_write,
    clear=_clear,
    adopt=_adopt,
    keep=_keep,
    require_calls=_require_calls,
)
