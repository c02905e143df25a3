"""Creating a managed policy, and a new version of one, in the policy editor."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from msgspec.structs import replace
from starlette.responses import Response

from broker.actions.action import Call
from broker.administration.buttons import read_tags
from broker.administration.policies import DETAIL, SECTION, is_aws, is_for_services
from broker.administration.policy_editor import (
    PolicyEditor,
    begin,
    begin_empty,
    format_text,
    press_button,
    read_editor,
)
from broker.administration.policy_search import search_policies
from broker.administration.services import read_declared
from broker.console.context import Precondition
from broker.console.visit import BOTH, PageRoute, Visit, address
from broker.errors import ConcurrentModification, LimitExceeded, ValidationError
from broker.kinds.accounts import require_account
from broker.kinds.managed_policies import check_document, find_managed_policy
from broker.policy import PolicyKind

NEW = "/console/policies/new"
EDIT = "/console/policies/edit"
_FIELDS = ("name", "path", "description", "tags")
_TYPED_MAX = 8192
_KIND = PolicyKind.IDENTITY


async def _new(visit: Visit) -> Response:
    values = {name: visit.text(name)[:_TYPED_MAX] for name in _FIELDS}
    editor = await _read_editor(visit)
    edited = (
        await _begin_new(visit)
        if editor is None
        else await press_button(visit, editor, lambda it: _create(visit, it, values))
    )
    if isinstance(edited, Response):
        return edited
    return await visit.show(
        "admin/policy_new.html", editor=edited, action=NEW, values=values
    )


async def _begin_new(visit: Visit) -> PolicyEditor:
    """Start with an empty policy, or a copy of another."""
    source = visit.text("from").strip()[:2048]
    if source and not source.startswith("arn:"):
        source = await _arn_of_aws(visit, source)
    if not source:
        return await _managed(visit, begin_empty(_KIND))
    _, text = await _read_default(visit, source)
    return await _managed(visit, begin(format_text(text), _KIND))


async def _arn_of_aws(visit: Visit, name: str) -> str:
    """Find an AWS managed policy by name, ignoring path and case."""
    policies = await search_policies(visit, name, scope="AWS")
    for policy in map(policies.row, policies.arns):
        named = str(policy["PolicyName"]).lower() == name.lower()
        if named and not is_for_services(policy):
            return str(policy["Arn"])
    raise ValidationError(f"There is no AWS managed policy {name[:128]} to copy.")


async def _read_editor(visit: Visit) -> PolicyEditor | None:
    editor = read_editor(visit.posted_form, _KIND)
    return None if editor is None else await _managed(visit, editor)


async def _managed(visit: Visit, editor: PolicyEditor) -> PolicyEditor:
    return replace(editor, managed=True, declared=await read_declared(visit))


async def _create(
    visit: Visit, editor: PolicyEditor, values: Mapping[str, str]
) -> Response:
    result = await visit.iam(
        "CreatePolicy",
        PolicyName=values["name"],
        Path=values["path"] or None,
        Description=values["description"] or None,
        PolicyDocument=editor.policy(),
        Tags=read_tags(values["tags"]) or None,
    )
    return visit.done("Policy created.", DETAIL, arn=result["Policy"]["Arn"])


async def _edit(visit: Visit) -> Response:
    arn = visit.text("arn")[:2048]
    editor = await _read_editor(visit)
    policy, text = await _read_default(visit, arn)
    if is_aws(policy):
        raise ValidationError("AWS managed policies cannot be edited; copy it instead.")

    async def read_stored() -> tuple[str, str]:
        now, stored = await _read_default(visit, arn)
        return stored, _base(now)

    edited = (
        await _managed(visit, begin(format_text(text), _KIND, _base(policy)))
        if editor is None
        else await press_button(
            visit, editor, lambda it: _save(visit, it, arn), read_stored
        )
    )
    if isinstance(edited, Response):
        return edited
    versions: list[Any] = []
    if isinstance(visit.refusal, LimitExceeded):
        listed = await visit.iam("ListPolicyVersions", PolicyArn=arn)
        versions = [v for v in listed["Versions"] if not v["IsDefaultVersion"]]
    return await visit.show(
        "admin/policy_edit.html",
        editor=edited,
        action=address(EDIT, arn=arn),
        policy=policy,
        versions=versions,
        # Browsers do not send an unchecked box, so GET needs the default.
        default=visit.is_checked("default") or not visit.posted,
    )


async def _save(visit: Visit, editor: PolicyEditor, arn: str) -> Response:
    dropped = visit.text("drop")
    first = _still_default(arn, editor.base)
    if dropped:

        async def fits(call: Call) -> None:
            """Keep the old version if the new document would be refused."""
            await first(call)
            check_document(
                await require_account(call.change, call.account), editor.policy()
            )

        await visit.perform(
            "iam", "DeletePolicyVersion", fits, PolicyArn=arn, VersionId=dropped
        )
    made = await visit.perform(
        "iam",
        "CreatePolicyVersion",
        first,
        PolicyArn=arn,
        PolicyDocument=editor.policy(),
        SetAsDefault=visit.is_checked("default"),
    )
    in_force = ", and is now the default" if visit.is_checked("default") else ""
    new = made["PolicyVersion"]["VersionId"]
    return visit.done(f"New version saved{in_force}.", DETAIL, new, arn=arn)


def _base(policy: Mapping[str, Any]) -> str:
    """What the editing started from: a version and the policy's unique id.

    A new policy may have the name of a deleted one, and its versions start at v1 again.
    """
    return f"{policy['DefaultVersionId']} {policy['PolicyId']}"


def _still_default(arn: str, base: str) -> Precondition:
    """Require that the default version is still the one the editing started from."""
    version_id, _, policy_id = base.partition(" ")

    async def check(call: Call) -> None:
        policy = await find_managed_policy(call.change, call.account, arn)
        if policy is None:
            return
        if policy.policy_id != policy_id:
            raise ConcurrentModification(
                "The policy was deleted after you started editing; this is another one"
                " of the same name."
            )
        if policy.default_version.version_id != version_id:
            raise ConcurrentModification(
                f"Version {policy.default_version.version_id} became the default after"
                f" you started editing version {version_id}."
            )

    return check


async def _read_default(visit: Visit, arn: str) -> tuple[Mapping[str, Any], str]:
    policy = (await visit.iam("GetPolicy", PolicyArn=arn))["Policy"]
    version = await visit.iam(
        "GetPolicyVersion", PolicyArn=arn, VersionId=policy["DefaultVersionId"]
    )
    return policy, unquote(version["PolicyVersion"]["Document"])


PAGES = (
    PageRoute(NEW, SECTION, _new, BOTH, long=True),
    PageRoute(EDIT, SECTION, _edit, BOTH, long=True),
)
