"""*Resource policies*: policies that resources of registered services have."""

from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from typing import Any

from starlette.responses import Response

from broker.actions.action import Call
from broker.administration.declared_services import read_declared
from broker.administration.listing import ListPage, paged_list
from broker.administration.policy_editor import (
    DO,
    PolicyEditor,
    begin,
    begin_empty,
    content_hash,
    format_text,
    read_editor,
)
from broker.administration.policy_saving import press_button
from broker.administration.services import SERVICE
from broker.console.context import Precondition
from broker.console.pages.service_views import read_service_views
from broker.console.visit import BOTH, PageRoute, Visit, address
from broker.errors import ConcurrentModification
from broker.identities.trust import shown_trust_policies
from broker.policy import PolicyKind
from broker.protocols.enforcement.mapping import EXECUTE_API
from broker.stores.directory.kinds import RESOURCE_POLICY

HERE = "resource-policies"
LIST = "/console/resource-policies"
NEW = "/console/resource-policies/new"
EDIT = "/console/resource-policies/edit"
_DELETE = "delete"
_ARN_MAX = 2048
_EXAMPLES_MAX = 60


_LIST = ListPage(
    path=LIST,
    here=HERE,
    template="admin/resource_policies.html",
    read=paged_list("ListResourcePolicies", "ResourcePolicies", service=SERVICE),
    searched=itemgetter("ResourceArn"),
)


async def _new(visit: Visit) -> Response:
    arn = visit.text("arn")[:_ARN_MAX]
    editor = read_editor(visit.posted_form, PolicyKind.RESOURCE)
    return await _edit_policy(
        visit, arn, editor or begin_empty(PolicyKind.RESOURCE), is_new=True
    )


async def _edit(visit: Visit) -> Response:
    arn = visit.form.require("arn")[:_ARN_MAX]
    if visit.posted and visit.text(DO) == _DELETE:
        with visit.attempt():
            await visit.perform(SERVICE, "DeleteResourcePolicy", ResourceArn=arn)
            return visit.done("Resource policy deleted.", LIST)
    editor = read_editor(visit.posted_form, PolicyKind.RESOURCE)
    if editor is None:
        text = await _text(visit, arn)
        editor = begin(format_text(text), PolicyKind.RESOURCE, content_hash(text))
    return await _edit_policy(visit, arn, editor, is_new=False)


async def _edit_policy(
    visit: Visit, arn: str, editor: PolicyEditor, *, is_new: bool
) -> Response:
    async def save(edited: PolicyEditor) -> Response:
        await visit.perform_if(
            _policy_is(arn, edited.base),
            SERVICE,
            "PutResourcePolicy",
            ResourceArn=arn,
            PolicyDocument=edited.policy(),
        )
        return visit.done("Resource policy saved.", LIST)

    async def read_stored() -> tuple[str, str]:
        stored = await _text(visit, arn)
        return stored, content_hash(stored)

    edited: Response | PolicyEditor = replace(
        editor, declared=await read_declared(visit)
    )
    if isinstance(edited, PolicyEditor) and visit.posted:
        edited = await press_button(visit, edited, save, read_stored)
    if isinstance(edited, Response):
        return edited
    return await visit.show(
        "admin/resource_policy.html",
        editor=edited,
        arn=arn,
        is_new=is_new,
        action=NEW if is_new else address(EDIT, arn=arn),
        back=LIST,
        examples=await _examples(visit) if is_new else (),
    )


async def _examples(visit: Visit) -> list[str]:
    """What the ARNs of the account's services look like."""
    found: list[str] = []
    for view in await read_service_views(visit):
        if view.compiled is None:
            continue
        if view.prefix == EXECUTE_API:
            found.append(view.compiled.every_request.removesuffix("*") + "GET")
        found += view.compiled.resource_patterns.values()
    return found[:_EXAMPLES_MAX]


async def _text(visit: Visit, arn: str) -> str:
    found: Mapping[str, Any] = await visit.perform(
        SERVICE, "GetResourcePolicy", ResourceArn=arn
    )
    return str(found["ResourcePolicy"]["PolicyDocument"])


def _policy_is(arn: str, base: str) -> Precondition:
    async def check(call: Call) -> None:
        stored = await call.change.find(RESOURCE_POLICY, call.account, arn)
        shown = ""
        if stored is not None:
            (shown,) = await shown_trust_policies(call.change, [stored.document])
        if content_hash(shown) != base:
            raise ConcurrentModification(
                "Someone else changed this policy after you started editing."
            )

    return check


PAGES = (
    _LIST.route(),
    PageRoute(NEW, HERE, _new, BOTH, long=True),
    PageRoute(EDIT, HERE, _edit, BOTH, long=True),
)
