"""``InstanceProfiles``: the properties of ``AWS::IAM::InstanceProfile``, and tags."""

from dataclasses import replace

from broker.identities.instance_profiles import INSTANCE_PROFILES as RULES
from broker.identities.roles import require_role
from broker.identities.tags import KeyCase
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountReading, AccountWork
from broker.identities.template.owned import as_present
from broker.identities.template.properties import Properties
from broker.identities.template.section import Described, Members, Section
from broker.model.machines import InstanceProfile
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.port import DirectoryReader


def _parse(properties: Properties, _reading: AccountReading) -> Members:
    roles = properties.texts("Roles")
    if len(roles) > 1:
        raise TemplateError(f"{properties.place}.Roles", "must name one role at most")
    return {
        "InstanceProfileName": properties.name("InstanceProfileName"),
        "Path": properties.path_text(),
        "Roles": roles,
        "Tags": properties.tags(KeyCase.SENSITIVE),
    }


async def _shown(one: InstanceProfile, directory: DirectoryReader) -> Members:
    role = None
    if one.role_id is not None:
        role = await directory.find(ROLE, one.account, one.role_id)
    return {
        "InstanceProfileName": one.name,
        "Path": one.path,
        "Roles": () if role is None else (role.name,),
        "Tags": dict(one.tags),
    }


def _adopt(before: Described, after: Described) -> Described:
    """The role's name has no case."""
    present = as_present(before.properties["Roles"])
    roles = tuple(map(present, after.properties["Roles"]))
    return replace(after, properties={**after.properties, "Roles": roles})


async def _finish(
    one: InstanceProfile, wanted: Members, work: AccountWork
) -> InstanceProfile:
    roles = [
        await require_role(work.change, one.account, name) for name in wanted["Roles"]
    ]
    return replace(one, role_id=roles[0].role_id if roles else None)


INSTANCE_PROFILES = Section(
    section="InstanceProfiles",
    of=RULES,
    name="InstanceProfileName",
    parse=_parse,
    shown=_shown,
    finish=_finish,
    constant=("InstanceProfileName", "Path"),
).entity_kind(adopt=_adopt)
