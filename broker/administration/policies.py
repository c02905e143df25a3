"""*Policies*: the list of managed policies, and the page of one policy."""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response

from broker.administration.buttons import Button, Buttons, kept, tag_buttons, typed
from broker.administration.listing import Found, ListPage, Query, read_part
from broker.administration.policy_editor import format_text
from broker.administration.policy_search import search_policies
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import ValidationError
from broker.policy import PolicyDocument, PolicyKind, PolicyRejected, parse_policy
from broker.policy.catalogue import policy_summary

SECTION = "policies"
LIST = "/console/policies"
DETAIL = "/console/policies/policy"
SUMMARY_ROWS_MAX = 40
_SCOPES = {"own": "Local", "aws": "AWS"}
_KINDS = {"user": "User", "group": "Group", "role": "Role"}
_JSON_MAX = 16_000
_STATEMENTS_MAX = 20
_ENTITIES_MAX = 100

_VERSION = {"VersionId": typed("version")}


async def _read(visit: Visit, query: Query) -> Found:
    scope = _SCOPES.get(query.filters["scope"], "All")
    attached = bool(query.filters["attached"])
    policies = await search_policies(
        visit, query.search, scope=scope, attached=attached
    )
    return Found(policies.arns, more={"is_aws": is_aws}, shown=policies.row)


async def _one(visit: Visit) -> Response:
    arn = visit.text("arn")[:2048]
    if not arn:
        raise ValidationError("The policy's ARN is missing.")
    if isinstance(done := await _BUTTONS.press(visit, arn), Response):
        return done
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
        values=kept(visit, "kind", "name", "tags", most=256),
    )


async def _move(visit: Visit, arn: str) -> None:
    kind = _KINDS.get(visit.text("kind"))
    if kind is None:
        raise ValidationError("Choose a user, a group or a role.")
    verb = visit.text("do").capitalize()
    params = {f"{kind}Name": visit.text("name")}
    await visit.iam(f"{verb}{kind}Policy", PolicyArn=arn, **params)


async def _delete(visit: Visit, arn: str) -> Response:
    policy = (await visit.iam("GetPolicy", PolicyArn=arn))["Policy"]
    if visit.text("sure") != policy["PolicyName"]:
        raise ValidationError("Type the policy's name to delete it.")
    in_use = policy["AttachmentCount"] or policy["PermissionsBoundaryUsageCount"]
    if not in_use:
        listed = await visit.iam("ListPolicyVersions", PolicyArn=arn)
        for version in listed["Versions"]:
            if not version["IsDefaultVersion"]:
                await visit.iam(
                    "DeletePolicyVersion", PolicyArn=arn, VersionId=version["VersionId"]
                )
    await visit.iam("DeletePolicy", PolicyArn=arn)
    return visit.done("Policy deleted.", LIST, scope="own")


_BUTTONS = Buttons(
    makes={"attach": "name"},
    path=DETAIL,
    query="arn",
    member="PolicyArn",
    known={
        "delete": _delete,
        "set-default": Button("SetDefaultPolicyVersion", _VERSION),
        "delete-version": Button("DeletePolicyVersion", _VERSION),
        "attach": _move,
        "detach": _move,
        **tag_buttons("Policy"),
    },
)


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


def _holders(results: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for kind, noun in _KINDS.items():
        for holder in results.get(f"Policy{noun}s", ()):
            yield kind, holder[f"{noun}Name"]


_LIST = ListPage(
    path=LIST,
    here=SECTION,
    template="admin/policies.html",
    read=_read,
    filters=("scope", "attached"),
)

PAGES = (_LIST.route(), PageRoute(DETAIL, SECTION, _one, BOTH))
