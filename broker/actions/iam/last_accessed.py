"""Service last accessed: what an entity may use, and what it did use.

``Generate…`` works the answer out at once and keeps it for a day under its job's id;
``Get…`` reads pages of it. Uses are those of this broker's own services, and of the
registered services that ask it for decisions.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from broker.actions.action import Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import ActionTarget, change, read
from broker.actions.iam.paging import cut, listed, page_request, truncation
from broker.errors import InvalidInput, NoSuchEntity
from broker.kinds.accounts import require_account
from broker.kinds.documents import granted_services
from broker.kinds.groups import require_group
from broker.kinds.managed_policies import find_managed_policy, require_managed_policy
from broker.kinds.names import find_named_resource, parse_policy_arn
from broker.kinds.owners import Owner, kind_of, owner_id
from broker.kinds.roles import require_role
from broker.kinds.users import require_user
from broker.model.entities import Group, ManagedPolicy, Role, User
from broker.model.page import read_pages
from broker.model.request import Params
from broker.model.uses import Report, Use
from broker.policy import PolicyDocument, PolicyKind, parse_policy
from broker.policy.catalogue import find_service, service_prefixes
from broker.runtime.offload import offload
from broker.stores.directory.identities import list_group_users, list_user_groups
from broker.stores.directory.kinds import REPORT, SERVICE
from broker.stores.directory.policies import (
    find_owners,
    list_attached_owners,
    list_attachments_of,
    list_inline_policies_of,
)
from broker.stores.directory.reports import list_uses, put_report

if TYPE_CHECKING:
    from broker.model.types import iam as types

_KINDS = ("user", "role", "group", "policy")
_USERS_A_QUERY = 1000
_NAMESPACE = re.compile(r"[\w-]{1,64}")

_REQUIRE: Mapping[str, Any] = {
    "user": require_user,
    "role": require_role,
    "group": require_group,
}
_FAR = 10**12


class _HeldPolicy(Struct, frozen=True):
    """A policy and whom an entity has it from."""

    name: str
    arn: str | None
    owner: Owner | None
    text: str


async def _prepare_job(
    params: types.GenerateServiceLastAccessedDetailsRequest, call: Call
) -> Report:
    arn = params["Arn"]
    subject = await _require_subject(arn, call)
    if isinstance(subject, ManagedPolicy):
        texts = [subject.default_version.document]
    else:
        texts = [held.text for held in await _held(subject, call)]
    entities = await _entities(subject, call)
    uses = await list_uses(call.directory, call.account, list(entities))
    registered = await call.directory.all_of(SERVICE, call.account)
    own = [service.name for service in registered]
    # Reads many policies and the packed catalogue, so not on the event loop.
    services = await offload(lambda: _named_services(_parse_all(texts), own))
    body = {
        "arn": arn,
        "granularity": params.get("Granularity", "SERVICE_LEVEL"),
        "entities": {
            unique_id: [kind_of(entry).noun.upper(), entry.arn, entry.name, entry.path]
            for unique_id, entry in entities.items()
        },
        "services": services,
        "uses": [_use_json(use) for use in uses if use.service in services],
    }
    return Report(
        account=call.account,
        report_id=str(uuid.uuid4()),
        made_at=call.now.replace(microsecond=0),
        body=json.dumps(body),
    )


async def _generate(
    _given: types.GenerateServiceLastAccessedDetailsRequest, call: Call
) -> types.GenerateServiceLastAccessedDetailsResponse:
    if not isinstance(call.prepared, Report):
        raise TypeError("the job was not prepared")
    await require_account(call.change, call.account)
    await put_report(call.change, call.prepared)
    return {"JobId": call.prepared.report_id}


async def _get_details(
    params: types.GetServiceLastAccessedDetailsRequest, call: Call
) -> dict[str, Any]:
    report, body = await _require_job(params["JobId"], call)
    by_service: dict[str, list[list[Any]]] = {}
    for use in body["uses"]:
        by_service.setdefault(use[1], []).append(use)
    page = cut(list(body["services"]), str, page_request(params))
    return {
        "JobStatus": "COMPLETED",
        "JobType": body["granularity"],
        "JobCreationDate": report.made_at,
        "JobCompletionDate": report.made_at,
        "ServicesLastAccessed": [
            _service(name, by_service.get(name, []), body) for name in page.items
        ],
        **truncation(page),
    }


async def _get_with_entities(
    params: types.GetServiceLastAccessedDetailsWithEntitiesRequest, call: Call
) -> dict[str, Any]:
    report, body = await _require_job(params["JobId"], call)
    service = params["ServiceNamespace"]
    if service not in body["services"]:
        raise NoSuchEntity(f"The service {service} is not in the report.")
    last: dict[str, int] = {}
    for subject, name, _action, at, _region in body["uses"]:
        if name == service:
            last.setdefault(subject, at)
    entities = cut(
        list(body["entities"].items()),
        # Most recent use first.
        lambda item: f"{_FAR - last.get(item[0], 0):020d}{item[0]}",
        page_request(params),
    )
    details: list[types.EntityDetails] = []
    for unique_id, (kind, arn, name, path) in entities.items:
        detail: types.EntityDetails = {
            "EntityInfo": {
                "Arn": arn,
                "Name": name,
                "Type": kind,
                "Id": unique_id,
                "Path": path,
            }
        }
        if unique_id in last:
            detail["LastAuthenticated"] = _from_timestamp(last[unique_id])
        details.append(detail)
    return {
        "JobStatus": "COMPLETED",
        "JobCreationDate": report.made_at,
        "JobCompletionDate": report.made_at,
        "EntityDetailsList": details,
        **truncation(entities),
    }


async def _list_granting(
    params: types.ListPoliciesGrantingServiceAccessRequest, call: Call
) -> dict[str, Any]:
    subject = await _require_subject(params["Arn"], call)
    if isinstance(subject, ManagedPolicy):
        raise InvalidInput(f"{params['Arn']} is not a user, group or role.")
    services = list(dict.fromkeys(params["ServiceNamespaces"]))
    for service in services:
        if not _NAMESPACE.fullmatch(service):
            raise InvalidInput(f"{service} is not a service namespace.")
    policies = await _held(subject, call)
    results = await offload(lambda: _granting_all(policies, services))
    return listed(
        "PoliciesGrantingServiceAccess",
        services,
        str,
        params,
        lambda service: {"ServiceNamespace": service, "Policies": results[service]},
    )


def _granting_all(
    policies: Iterable[_HeldPolicy], services: Sequence[str]
) -> dict[str, list[types.PolicyGrantingServiceAccess]]:
    results: dict[str, list[types.PolicyGrantingServiceAccess]] = {
        s: [] for s in services
    }
    for held in policies:
        for service in granted_services(_parse_all([held.text]), services):
            results[service].append(_granting(held))
    return results


def _granting(held: _HeldPolicy) -> types.PolicyGrantingServiceAccess:
    if held.arn is not None:
        return {"PolicyName": held.name, "PolicyType": "MANAGED", "PolicyArn": held.arn}
    view: types.PolicyGrantingServiceAccess = {
        "PolicyName": held.name,
        "PolicyType": "INLINE",
    }
    if held.owner is not None:
        view["EntityType"] = kind_of(held.owner).noun.upper()
        view["EntityName"] = held.owner.name
    return view


async def _require_subject(arn: str, call: Call) -> Owner | ManagedPolicy:
    """The user, group, role or policy that an ARN names."""
    for kind in _KINDS:
        named = find_named_resource(arn, kind)
        if named is None:
            continue
        if kind == "policy":
            return await require_managed_policy(call.directory, call.account, arn)
        owner: Owner = await _REQUIRE[kind](call.directory, call.account, named.name)
        if owner.arn != arn:
            raise NoSuchEntity(f"ARN {arn} was not found.")
        return owner
    raise InvalidInput(f"ARN {arn} is not valid.")


async def _held(owner: Owner, call: Call) -> list[_HeldPolicy]:
    """An owner's policies, a user's with those of its groups."""
    directory, account = call.directory, call.account
    owners: list[Owner] = [owner]
    if isinstance(owner, User):
        owners += await list_user_groups(directory, account, owner.user_id)
    ids = [owner_id(owner) for owner in owners]
    inline = await list_inline_policies_of(directory, account, ids)
    attached = await list_attachments_of(directory, account, ids)
    policies: list[_HeldPolicy] = []
    seen: set[str] = set()
    for entry in owners:
        policies += [
            _HeldPolicy(policy.name, None, entry, policy.document)
            for policy in inline.get(owner_id(entry), ())
        ]
        for arn in attached.get(owner_id(entry), ()):
            policy = await find_managed_policy(directory, account, arn)
            if policy is not None and arn not in seen:
                seen.add(arn)
                text = policy.default_version.document
                policies.append(
                    _HeldPolicy(parse_policy_arn(arn).name, arn, None, text)
                )
    return policies


async def _entities(
    subject: Owner | ManagedPolicy, call: Call
) -> dict[str, User | Role]:
    """The users and roles whose uses a report is about, by unique id."""
    if isinstance(subject, User | Role):
        return {owner_id(subject): subject}
    if isinstance(subject, Group):
        return {user.user_id: user for user in await _members(subject, call)}
    results: dict[str, User | Role] = {}
    directory, account = call.directory, call.account
    attached = await list_attached_owners(directory, account, subject.arn)
    for owner in await find_owners(directory, account, attached):
        if isinstance(owner, Group):
            results |= {user.user_id: user for user in await _members(owner, call)}
        else:
            results[owner_id(owner)] = owner
    return results


async def _members(group: Group, call: Call) -> list[User]:
    users: list[User] = []
    listed = partial(list_group_users, call.directory, call.account, group.group_id)
    async for page in read_pages(listed, _USERS_A_QUERY):
        users += page
    return users


def _named_services(
    documents: Sequence[PolicyDocument], registered: Sequence[str]
) -> dict[str, str]:
    """The services that are granted, AWS's and the account's own, with their names."""
    results = {}
    prefixes = dict.fromkeys((*service_prefixes(), *registered))
    for prefix in granted_services(documents, prefixes):
        entry = find_service(prefix)
        results[prefix] = prefix if entry is None else entry.name
    return results


def _parse_all(texts: Iterable[str]) -> list[PolicyDocument]:
    return [parse_policy(text, PolicyKind.IDENTITY) for text in texts]


async def _require_job(job_id: str, call: Call) -> tuple[Report, dict[str, Any]]:
    report = await call.directory.find(REPORT, call.account, job_id)
    if report is None:
        raise NoSuchEntity(f"Job {job_id} was not found.")
    return report, json.loads(report.body)


def _service(
    name: str, uses: Sequence[Sequence[Any]], body: Mapping[str, Any]
) -> types.ServiceLastAccessed:
    view: types.ServiceLastAccessed = {
        "ServiceName": body["services"][name],
        "ServiceNamespace": name,
        "TotalAuthenticatedEntities": len({use[0] for use in uses}),
    }
    if uses:
        subject, _, _, at, region = uses[0]
        view["LastAuthenticated"] = _from_timestamp(at)
        view["LastAuthenticatedEntity"] = body["entities"][subject][1]
        view["LastAuthenticatedRegion"] = region
    if body["granularity"] == "ACTION_LEVEL" and uses:
        latest: dict[str, Sequence[Any]] = {}
        for use in uses:
            latest.setdefault(use[2], use)
        view["TrackedActionsLastAccessed"] = [
            {
                "ActionName": action,
                "LastAccessedEntity": body["entities"][use[0]][1],
                "LastAccessedTime": _from_timestamp(use[3]),
                "LastAccessedRegion": use[4],
            }
            for action, use in sorted(latest.items())
        ]
    return view


def _use_json(use: Use) -> list[object]:
    return [use.subject, use.service, use.action, int(use.at.timestamp()), use.region]


def _from_timestamp(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def _subject_target(params: Params, _call: Call) -> ActionTarget:
    return ActionTarget(params["Arn"])


LAST_ACCESSED = (
    change(
        "GenerateServiceLastAccessedDetails",
        _generate,
        _subject_target,
        prepare=_prepare_job,
        calls=20,
    ),
    read("GetServiceLastAccessedDetails", _get_details, on.account),
    read("GetServiceLastAccessedDetailsWithEntities", _get_with_entities, on.account),
    read(
        "ListPoliciesGrantingServiceAccess", _list_granting, _subject_target, calls=10
    ),
)
