"""*Policies*: the list of managed policies, and the page of one policy."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response

from broker.administration.listing import (
    ROWS,
    Found,
    ListPage,
    Query,
    cut_page,
    read_page,
    read_part,
)
from broker.administration.policy_editor import format_text
from broker.administration.policy_search import search_policies
from broker.administration.tag_lines import read_tags
from broker.catalogue import policy_summary
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import ValidationError
from broker.policy import PolicyDocument, PolicyKind, PolicyRejected, parse_policy

HERE = "policies"
LIST = "/console/policies"
ONE = "/console/policies/policy"
SUMMARY_ROWS_MAX = 40
_SCOPES = {"own": "Local", "aws": "AWS"}
_KINDS = {"user": "User", "group": "Group", "role": "Role"}
_JSON_MAX = 16_000
_STATEMENTS_MAX = 20
_ENTITIES_MAX = 100


async def _read(visit: Visit, query: Query) -> Found:
    scope = _SCOPES.get(query.filters["scope"], "All")
    attached = bool(query.filters["attached"])
    if query.search:
        found = await search_policies(
            visit, query.search, scope=scope, attached=attached
        )
        arns, marker = cut_page(visit, found.arns, ROWS)
        return Found([*map(found.row, arns)], marker, more={"is_aws": is_aws})
    listed = ("iam", "ListPolicies", "Policies")
    page = await read_page(
        visit, query, listed, Scope=scope, OnlyAttached=attached or None
    )
    return replace(page, more={"is_aws": is_aws})


async def _one(visit: Visit) -> Response:
    arn = visit.text("arn")[:2048]
    if not arn:
        raise ValidationError("The policy's ARN is missing.")
    if visit.posted:
        with visit.attempt():
            return await _act(visit, arn)
    policy = (await visit.iam("GetPolicy", PolicyArn=arn))["Policy"]
    versions = await read_part(visit, "ListPolicyVersions", PolicyArn=arn)
    chosen = visit.text("version")[:32] or policy["DefaultVersionId"]
    version = await read_part(
        visit, "GetPolicyVersion", PolicyArn=arn, VersionId=chosen
    )
    used = await read_part(
        visit, "ListEntitiesForPolicy", PolicyArn=arn, MaxItems=_ENTITIES_MAX
    )
    text = unquote(version.found["PolicyVersion"]["Document"]) if version.found else ""
    document = parse_stored(text)
    rows = policy_summary([document]) if document else ()
    return await visit.show(
        "admin/policy.html",
        policy=policy,
        own=not is_aws(policy),
        chosen=chosen,
        version=version,
        text=format_text(text)[:_JSON_MAX],
        cut=len(text) > _JSON_MAX,
        rows=rows[:SUMMARY_ROWS_MAX],
        rows_more=max(0, len(rows) - SUMMARY_ROWS_MAX),
        statements=document.statements[:_STATEMENTS_MAX] if document else (),
        statements_more=(
            max(0, len(document.statements) - _STATEMENTS_MAX) if document else 0
        ),
        versions=versions,
        used=used,
        holders=tuple(_holders(used.found or {})),
        values={name: visit.text(name)[:256] for name in ("kind", "name", "tags")},
    )


async def _act(visit: Visit, arn: str) -> Response:
    """Do what a button on the policy's page says."""
    do = visit.text("do")
    if do == "delete":
        await _delete(visit, arn)
        return visit.done("Policy deleted.", LIST, scope="own")
    if do == "set-default":
        await visit.iam(
            "SetDefaultPolicyVersion", PolicyArn=arn, VersionId=visit.text("version")
        )
    elif do == "delete-version":
        await visit.iam(
            "DeletePolicyVersion", PolicyArn=arn, VersionId=visit.text("version")
        )
    elif do in {"attach", "detach"}:
        kind = _KINDS.get(visit.text("kind"))
        if kind is None:
            raise ValidationError("Choose a user, a group or a role.")
        await visit.iam(
            f"{do.capitalize()}{kind}Policy",
            PolicyArn=arn,
            **{f"{kind}Name": visit.text("name")},
        )
    elif do == "tag":
        await visit.iam("TagPolicy", PolicyArn=arn, Tags=read_tags(visit.text("tags")))
    elif do == "untag":
        await visit.iam("UntagPolicy", PolicyArn=arn, TagKeys=[visit.text("key")])
    else:
        raise ValidationError("Unknown operation.")
    return visit.done("Saved.", ONE, arn=arn)


async def _delete(visit: Visit, arn: str) -> None:
    """Delete a policy and its versions; keep them if it is in use."""
    policy = (await visit.iam("GetPolicy", PolicyArn=arn))["Policy"]
    if visit.text("sure") != policy["PolicyName"]:
        raise ValidationError("Type the policy's name to delete it.")
    in_use = policy["AttachmentCount"] or policy["PermissionsBoundaryUsageCount"]
    if not in_use:
        listed = await visit.iam("ListPolicyVersions", PolicyArn=arn)
        for version in listed["Versions"]:
            if not version["IsDefaultVersion"]:
                await visit.iam(
                    "DeletePolicyVersion",
                    PolicyArn=arn,
                    VersionId=version["VersionId"],
                )
    await visit.iam("DeletePolicy", PolicyArn=arn)


def is_aws(policy: Mapping[str, Any]) -> bool:
    """Whether a policy is AWS managed."""
    return str(policy["Arn"]).split(":")[4] == "aws"


def is_for_services(policy: Mapping[str, Any]) -> bool:
    """Whether a policy is for service-linked roles only."""
    return is_aws(policy) and str(policy["Path"]) == "/aws-service-role/"


def parse_stored(text: str) -> PolicyDocument | None:
    """Parse a stored policy; None when today's grammar refuses it."""
    try:
        return parse_policy(text, PolicyKind.IDENTITY)
    except PolicyRejected:
        return None


def _holders(found: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for kind, noun in _KINDS.items():
        for holder in found.get(f"Policy{noun}s", ()):
            yield kind, holder[f"{noun}Name"]


_LIST = ListPage(
    path=LIST,
    here=HERE,
    template="admin/policies.html",
    read=_read,
    filters=("scope", "attached"),
)

PAGES = (
    _LIST.route(),
    PageRoute(ONE, HERE, _one, BOTH),
)
