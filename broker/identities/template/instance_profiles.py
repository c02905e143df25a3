"""``InstanceProfiles``: the properties of ``AWS::IAM::InstanceProfile``, and tags."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from broker.identities import instance_profiles
from broker.identities.roles import require_role
from broker.identities.tags import KeyCase
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
    shown_tags,
)
from broker.identities.template.owned import as_present
from broker.identities.template.properties import Properties
from broker.model.account import AccountId
from broker.model.machines import InstanceProfile
from broker.model.page import read_pages
from broker.stores.directory.kinds import INSTANCE_PROFILE
from broker.stores.directory.port import DirectoryReader

_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSpec:
    """An instance profile with the name of its role; empty without one."""

    name: str
    path: str = field(metadata={"property": "Path"})
    role: str = field(metadata={"property": "Roles"})
    tags: Mapping[str, str] = field(metadata={"property": "Tags"})


def _parse(properties: Properties, _reading: AccountReading) -> ProfileSpec:
    roles = properties.texts("Roles")
    if len(roles) > 1:
        raise TemplateError(f"{properties.place}.Roles", "must name one role at most")
    return ProfileSpec(
        name=properties.name("InstanceProfileName"),
        path=properties.path_text(),
        role="".join(roles),
        tags=properties.tags(KeyCase.SENSITIVE),
    )


async def _load(directory: DirectoryReader, account: AccountId) -> list[ProfileSpec]:
    specs: list[ProfileSpec] = []
    listed = partial(directory.page_of, INSTANCE_PROFILE, account)
    async for profiles in read_pages(listed, _PAGE):
        for profile in profiles:
            role = None
            if profile.role_id is not None:
                role = await directory.find_role_by_id(account, profile.role_id)
            specs.append(
                ProfileSpec(
                    name=profile.name,
                    path=profile.path,
                    role="" if role is None else role.name,
                    tags=dict(profile.tags),
                )
            )
    return specs


def _adopt(before: ProfileSpec, after: ProfileSpec) -> ProfileSpec:
    """The role's name has no case."""
    return replace(after, role=as_present((before.role,))(after.role))


async def _create(work: AccountWork, spec: ProfileSpec) -> None:
    profile = await instance_profiles.create_instance_profile(
        work.change,
        work.account,
        name=spec.name,
        path=spec.path,
        tags=spec.tags,
        now=work.now,
    )
    await _put_role(work, profile, spec.role)


async def _update(work: AccountWork, before: ProfileSpec, after: ProfileSpec) -> None:
    for label, old, new in (
        ("InstanceProfileName", before.name, after.name),
        ("Path", before.path, after.path),
    ):
        if old != new:
            raise TemplateError(
                label,
                f"{old} of an instance profile cannot become {new}; delete it first",
            )
    profile = replace(await _require(work, before), tags=after.tags)
    if before.role.lower() != after.role.lower():
        profile = replace(profile, role_id=None)
    await work.change.update(INSTANCE_PROFILE, profile)
    if profile.role_id is None:
        await _put_role(work, profile, after.role)


async def _put_role(work: AccountWork, profile: InstanceProfile, name: str) -> None:
    if name:
        role = await require_role(work.change, work.account.account_id, name)
        await instance_profiles.add_role(work.change, profile, role)


async def _delete(work: AccountWork, spec: ProfileSpec) -> None:
    await work.change.remove(INSTANCE_PROFILE, await _require(work, spec))


async def _require(work: AccountWork, spec: ProfileSpec) -> InstanceProfile:
    return await instance_profiles.require_instance_profile(
        work.change, work.account.account_id, spec.name
    )


def _show(spec: ProfileSpec) -> dict[str, object]:
    return {
        "InstanceProfileName": spec.name,
        "Path": spec.path,
        "Roles": [spec.role] if spec.role else [],
        "Tags": shown_tags(spec.tags),
    }


INSTANCE_PROFILES: EntityKind[ProfileSpec] = EntityKind(
    section="InstanceProfiles",
    noun="instance profile",
    parse=_parse,
    load=_load,
    create=_create,
    update=_update,
    adopt=_adopt,
    delete=_delete,
    show=_show,
)
