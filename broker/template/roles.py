"""``Roles``: the properties of ``AWS::IAM::Role``.

A trust policy may name users and roles that the same template creates. Such a role is
first created with a trust policy that denies every principal, and gets its own once
they all exist.
"""

import json
from collections.abc import Sequence

from msgspec.structs import replace

from broker.kinds import roles
from broker.kinds.documents import (
    UnknownPrincipal,
    shown_trust_policies,
    stored_trust_policy,
    with_root_arns,
)
from broker.kinds.instances import INSTANCE_PROFILES as RULES
from broker.kinds.roles import require_role
from broker.kinds.service_linked_roles import is_service_linked
from broker.kinds.yaml_text import at_place
from broker.model.entities import Role
from broker.model.machines import InstanceProfile
from broker.policy import PolicyKind
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.port import DirectoryReader
from broker.template.owned import (
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
from broker.template.properties import (
    Properties,
    compact,
    normal_document,
    read_document,
)
from broker.template.section import (
    AccountWork,
    Described,
    Members,
    Section,
    shown_tags,
)

TRUST, _SECONDS = "AssumeRolePolicyDocument", "MaxSessionDuration"
_SECONDS_MIN = 3600
_SECONDS_MAX = 43_200
_NOBODY = compact(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}],
    }
)


def _seconds(properties: Properties, name: str) -> int:
    default = roles.DEFAULT_SESSION_SECONDS
    return properties.integer(name, default, _SECONDS_MIN, _SECONDS_MAX)


async def _further(page: Sequence[Role], directory: DirectoryReader) -> list[Members]:
    rows = await shown_trust_policies(directory, [role.trust_policy for role in page])
    return [
        {
            **owned,
            "Description": role.description,
            TRUST: normal_document(text),
            _SECONDS: role.max_session_duration_seconds,
        }
        for role, owned, text in zip(
            page, await further_owned(page, directory), rows, strict=True
        )
    ]


async def _role_params(wanted: Members, _work: AccountWork) -> Members:
    return {**wanted, TRUST: _NOBODY, "Tags": shown_tags(wanted["Tags"])}


async def _finish(
    entry: Role, before: Members, wanted: Members, work: AccountWork
) -> Role:
    if wanted[TRUST] != before.get(TRUST):
        stored = await _storable(work, wanted)
        entry = replace(entry, trust_policy=stored or entry.trust_policy)
    role = replace(
        entry,
        description=wanted["Description"],
        max_session_duration_seconds=wanted[_SECONDS],
    )
    bounded: Role = await finish_bounded(role, before, wanted, work)
    return bounded


async def _storable(work: AccountWork, wanted: Members) -> str | None:
    """The trust policy to store; None, with a note, when it names entities to come."""
    with at_place(TRUST):
        try:
            return await stored_trust_policy(work.change, work.account, wanted[TRUST])
        except UnknownPrincipal as error:
            if error.principal not in work.planned:
                raise
    work.pending_trust[wanted["RoleName"]] = (work.place, wanted[TRUST])
    return None


async def set_pending_trust(work: AccountWork, name: str, trust_policy: str) -> None:
    """Give a role its own trust policy, now that all principals exist."""
    role: Role = await roles.require_role(work.change, work.account.account_id, name)
    with at_place(TRUST):
        await roles.update_trust_policy(work.change, work.account, role, trust_policy)


async def _clear(work: AccountWork, there: Described) -> None:
    await clear_owned(work, there)
    await roles.ROLES.check_removal(there.found, work.change)


ROLES = Section(
    section="Roles",
    of=roles.ROLES,
    name="RoleName",
    reads={
        "RoleName": short_name,
        "Path": Properties.path,
        "Description": Properties.description,
        TRUST: lambda properties, name: with_root_arns(
            read_document(properties, name, PolicyKind.TRUST)
        ),
        _SECONDS: _seconds,
        **BOUNDED,
    },
    # Service-linked roles belong to their services; templates do not manage them.
    managed=lambda role: not is_service_linked(role),
    further=_further,
    params=_role_params,
    shows={TRUST: json.loads, POLICIES: show_policies},
    finish=_finish,
    write=write_owned,
    clear=_clear,
    constant=("RoleName", "Path"),
    adopt=adopt_names,
    keep=keep_owned,
)


async def _roles_in(
    page: Sequence[InstanceProfile], directory: DirectoryReader
) -> list[Members]:
    roles = [
        await directory.find(ROLE, profile.account, profile.role_id)
        if profile.role_id
        else None
        for profile in page
    ]
    return [{"Roles": () if role is None else (role.name,)} for role in roles]


async def _put_role(
    profile: InstanceProfile, _before: Members, wanted: Members, work: AccountWork
) -> InstanceProfile:
    with at_place("Roles"):
        roles = [
            await require_role(work.change, profile.account, name)
            for name in wanted["Roles"]
        ]
    return replace(profile, role_id=roles[0].role_id if roles else None)


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
    further=_roles_in,
    finish=_put_role,
    constant=("InstanceProfileName", "Path"),
    adopt=lambda before, after: {
        **after,
        "Roles": tuple(map(as_present(before["Roles"]), after["Roles"])),
    },
)
