"""``Roles``: the properties of ``AWS::IAM::Role``.

A trust policy may name users and roles that the same template creates. Such a role is
first created with a trust policy that denies every principal, and gets its own once
they all exist.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, fields, replace
from functools import partial

from broker.identities import kind as rules
from broker.identities import roles
from broker.identities.service_linked_roles import is_service_linked
from broker.identities.template.documents import read_document
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import (
    AccountReading,
    AccountWork,
    EntityKind,
)
from broker.identities.template.owned import (
    OwnerSpec,
    adopt_names,
    checked_boundary_of,
    given_owned,
    keep_owned,
    load_owned,
    read_owned,
    show_owned,
    write_owned,
)
from broker.identities.template.properties import Properties, compact, normal_document
from broker.identities.trust import (
    UnknownPrincipal,
    shown_trust_policies,
    stored_trust_policy,
    with_root_arns,
)
from broker.model.account import AccountId
from broker.model.entities import Role
from broker.model.page import read_pages
from broker.policy import PolicyKind
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.port import DirectoryReader

_PAGE = 1000
_SECONDS_MIN = 3600
_SECONDS_MAX = 43_200
_NOBODY = compact(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "sts:AssumeRole"}],
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec(OwnerSpec):
    """A role as a template describes it."""

    trust_policy: str = field(metadata={"property": "AssumeRolePolicyDocument"})
    description: str | None = field(metadata={"property": "Description"})
    max_session_duration_seconds: int = field(
        metadata={"property": "MaxSessionDuration"}
    )


def _parse(properties: Properties, _reading: AccountReading) -> RoleSpec:
    name = "AssumeRolePolicyDocument"
    trust_policy = read_document(properties, name, PolicyKind.TRUST)
    return _role_spec(
        read_owned(properties, "RoleName"),
        trust_policy=with_root_arns(trust_policy),
        description=properties.description(),
        max_session_duration_seconds=properties.integer(
            "MaxSessionDuration",
            roles.DEFAULT_SESSION_SECONDS,
            _SECONDS_MIN,
            _SECONDS_MAX,
        ),
    )


def _role_spec(
    shared: OwnerSpec,
    *,
    trust_policy: str,
    description: str | None,
    max_session_duration_seconds: int,
) -> RoleSpec:
    return RoleSpec(
        **{member.name: getattr(shared, member.name) for member in fields(shared)},
        trust_policy=trust_policy,
        description=description,
        max_session_duration_seconds=max_session_duration_seconds,
    )


async def _pages(
    directory: DirectoryReader, account: AccountId
) -> AsyncIterator[list[RoleSpec]]:
    async for page in read_pages(partial(directory.page_of, ROLE, account), _PAGE):
        # Service-linked roles belong to their services; templates do not manage them.
        own = [role for role in page if not is_service_linked(role)]
        shown = await shown_trust_policies(
            directory, [role.trust_policy for role in own]
        )
        owned = await load_owned(directory, account, own)
        yield [
            _role_spec(
                spec,
                trust_policy=normal_document(text),
                description=role.description,
                max_session_duration_seconds=role.max_session_duration_seconds,
            )
            for role, spec, text in zip(own, owned, shown, strict=True)
        ]


async def _create(work: AccountWork, spec: RoleSpec) -> None:
    trust_policy = await _storable(work, spec)
    given = {
        **given_owned(spec, "RoleName"),
        "AssumeRolePolicyDocument": _NOBODY
        if trust_policy is None
        else spec.trust_policy,
        "Description": spec.description or "",
        "MaxSessionDuration": spec.max_session_duration_seconds,
    }
    role = await rules.create(roles.ROLES, given, work.at())
    await write_owned(work, role, None, spec)


async def _update(work: AccountWork, before: RoleSpec, after: RoleSpec) -> None:
    for label, old, new in (
        ("RoleName", before.name, after.name),
        ("Path", before.path, after.path),
    ):
        if old != new:
            raise TemplateError(
                label, f"{old} of a role cannot become {new}; delete the role first"
            )
    role = await roles.require_role(work.change, work.account.account_id, after.name)
    if after.trust_policy != before.trust_policy:
        trust_policy = await _storable(work, after)
        role = replace(role, trust_policy=trust_policy or role.trust_policy)
    role = replace(
        role,
        description=after.description,
        max_session_duration_seconds=after.max_session_duration_seconds,
        tags=after.tags,
        boundary_arn=await checked_boundary_of(work, after),
    )
    await work.change.update(roles.ROLES.kind, role)
    await write_owned(work, role, before, after)


async def _storable(work: AccountWork, spec: RoleSpec) -> str | None:
    """The trust policy to store; None, with a note, when it names entities to come."""
    try:
        return await stored_trust_policy(work.change, work.account, spec.trust_policy)
    except UnknownPrincipal as error:
        if error.principal not in work.planned:
            raise
    work.pending_trust[spec.name] = spec.trust_policy
    return None


async def set_pending_trust(work: AccountWork, name: str, trust_policy: str) -> None:
    """Give a role its own trust policy, now that all principals exist."""
    role: Role = await roles.require_role(work.change, work.account.account_id, name)
    await roles.update_trust_policy(work.change, work.account, role, trust_policy)


async def _delete(work: AccountWork, spec: RoleSpec) -> None:
    role = await roles.require_role(work.change, work.account.account_id, spec.name)
    await write_owned(work, role, spec, replace(spec, policies={}, attached=()))
    await roles.check_removal(role, work.change)
    await work.change.remove(roles.ROLES.kind, role)


def _show(spec: RoleSpec) -> dict[str, object]:
    shared = show_owned(spec, "RoleName")
    return {
        "RoleName": shared.pop("RoleName"),
        "Path": shared.pop("Path"),
        "Description": spec.description,
        "AssumeRolePolicyDocument": json.loads(spec.trust_policy),
        "MaxSessionDuration": spec.max_session_duration_seconds,
        **shared,
    }


ROLES: EntityKind[RoleSpec] = EntityKind(
    section="Roles",
    noun="role",
    parse=_parse,
    pages=_pages,
    create=_create,
    update=_update,
    delete=_delete,
    show=_show,
    keep_unlisted=keep_owned,
    adopt=adopt_names,
)
