"""``InstanceProfiles``: the properties of ``AWS::IAM::InstanceProfile``, and tags."""

from collections.abc import Sequence
from dataclasses import replace

from broker.kinds.instance_profiles import INSTANCE_PROFILES as RULES
from broker.kinds.roles import require_role
from broker.kinds.template.errors import at_place
from broker.kinds.template.kind import AccountWork
from broker.kinds.template.owned import as_present
from broker.kinds.template.properties import Properties
from broker.kinds.template.section import Members, Section
from broker.model.machines import InstanceProfile
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.port import DirectoryReader


async def _roles(
    page: Sequence[InstanceProfile], directory: DirectoryReader
) -> list[Members]:
    found = [
        await directory.find(ROLE, one.account, one.role_id) if one.role_id else None
        for one in page
    ]
    return [{"Roles": () if role is None else (role.name,)} for role in found]


def _adopt(before: Members, after: Members) -> Members:
    """The role's name has no case."""
    return {**after, "Roles": tuple(map(as_present(before["Roles"]), after["Roles"]))}


async def _finish(
    one: InstanceProfile, _before: Members, wanted: Members, work: AccountWork
) -> InstanceProfile:
    with at_place("Roles"):
        roles = [
            await require_role(work.change, one.account, name)
            for name in wanted["Roles"]
        ]
    return replace(one, role_id=roles[0].role_id if roles else None)


INSTANCE_PROFILES = Section(
    section="InstanceProfiles",
    of=RULES,
    name="InstanceProfileName",
    reads={
        "InstanceProfileName": Properties.name,
        "Path": Properties.path,
        "Roles": lambda properties, name: properties.one_at_most(name, "role"),
        "Tags": Properties.tags,
    },
    further=_roles,
    finish=_finish,
    constant=("InstanceProfileName", "Path"),
    adopt=_adopt,
)
