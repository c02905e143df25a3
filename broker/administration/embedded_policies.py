"""Policies without versions: inline, trust and resource policies, and the list of the last.

The editor carries the hash of the text it started from, and the transaction that replaces
the text compares it first.
"""

from collections.abc import Awaitable, Callable, Mapping
from operator import itemgetter
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace
from starlette.responses import Response

from broker.actions.action import Call
from broker.administration.listing import ListPage, whole_list
from broker.administration.policy_editor import (
    DO,
    PolicyEditor,
    begin,
    begin_empty,
    content_hash,
    format_text,
    press_button,
    read_editor,
)
from broker.administration.roles import DETAIL as ROLE
from broker.administration.services import SERVICE, read_declared
from broker.administration.trust_words import TrustLine, trust_lines
from broker.console.pages.service_views import read_service_views
from broker.console.visit import BOTH, PageRoute, Visit, address
from broker.errors import ConcurrentModification, NoSuchEntity, ValidationError
from broker.kinds.documents import shown_trust_policies
from broker.kinds.groups import require_group
from broker.kinds.owners import Owner, owner_id
from broker.kinds.roles import require_role
from broker.kinds.users import require_user
from broker.model.account import AccountId
from broker.policy import PolicyKind
from broker.protocols.enforcement.mapping import EXECUTE_API
from broker.stores.directory.kinds import RESOURCE_POLICY
from broker.stores.directory.policies import list_inline_policies
from broker.stores.directory.port import DirectoryReader

TRUST = "/console/roles/trust"
INLINE = "/console/inline"
RESOURCES = "/console/resource-policies"
NEW = f"{RESOURCES}/new"
EDIT = f"{RESOURCES}/edit"
_RESOURCES_HERE = "resource-policies"
_ARN_MAX = 2048
_EXAMPLES_MAX = 60
_OWNERS = {"role": "Role", "user": "User", "group": "Group"}
_PAGES = {
    "role": ROLE,
    "user": "/console/users/permissions",
    "group": "/console/groups/permissions",
}
_Require = Callable[[DirectoryReader, AccountId, str], Awaitable[Owner]]
_REQUIRE: Mapping[str, _Require] = {
    "role": require_role,
    "user": require_user,
    "group": require_group,
}


class _Stored(Struct, frozen=True):
    """A policy: how its text is read, by a page and in a transaction, and replaced.

    Either text is empty if there is none. ``put`` is the operation, ``back`` where the
    reader goes then, and ``done`` what is said there.
    """

    kind: PolicyKind
    read: Callable[[], Awaitable[str]]
    find: Callable[[Call], Awaitable[str]]
    put: tuple[str, str]
    given: Mapping[str, str]
    done: str
    back: str
    new: str = ""


async def _edit(
    visit: Visit, stored: _Stored, *, empty: bool
) -> PolicyEditor | Response:
    """The editor, or the answer once the policy is saved; ``empty`` is a new one.

    Raises:
        BrokerError: The policy cannot be read.
    """
    editor = read_editor(visit.posted_form, stored.kind)
    posted = editor is not None
    if editor is None and empty:
        editor = begin_empty(stored.kind)
    elif editor is None:
        text = await stored.read()
        editor = begin(format_text(text), stored.kind, content_hash(text))
    if stored.kind is not PolicyKind.TRUST:
        editor = replace(editor, declared=await read_declared(visit))
    if not posted:
        return editor

    async def save(edited: PolicyEditor) -> Response:
        async def unchanged(call: Call) -> None:
            if content_hash(await stored.find(call)) != edited.base:
                raise ConcurrentModification(
                    "Someone else changed this policy after you started editing."
                )

        text, params = edited.policy(), stored.given
        await visit.perform(*stored.put, unchanged, PolicyDocument=text, **params)
        return visit.done(stored.done, stored.back, stored.new)

    async def read_stored() -> tuple[str, str]:
        text = await stored.read()
        return text, content_hash(text)

    return await press_button(visit, editor, save, read_stored)


async def _trust(visit: Visit) -> Response:
    name = visit.text("name")[:128]

    async def read() -> str:
        role = (await visit.iam("GetRole", RoleName=name))["Role"]
        return unquote(role["AssumeRolePolicyDocument"])

    async def find(call: Call) -> str:
        role = await require_role(call.change, call.account, name)
        return (await shown_trust_policies(call.change, [role.trust_policy]))[0]

    back = address(ROLE, name=name)
    stored = _Stored(
        PolicyKind.TRUST,
        read,
        find,
        ("iam", "UpdateAssumeRolePolicy"),
        {"RoleName": name},
        "Trust policy saved.",
        back,
    )
    edited = await _edit(visit, stored, empty=False)
    if isinstance(edited, Response):
        return edited
    return await visit.show(
        "admin/embedded_policy.html",
        editor=edited,
        action=address(TRUST, name=name),
        title=f"Trust policy of {name}",
        back=back,
        back_label=name,
        policy_name=None,
        lines=_lines(edited, visit),
    )


async def _inline(visit: Visit) -> Response:
    kind, owner = visit.text("kind"), visit.text("name")[:128]
    noun = _OWNERS.get(kind)
    if noun is None:
        raise ValidationError("The kind (role, user or group) is missing.")
    visit.here = f"{kind}s"
    policy = visit.text("policy")[:128]
    params = {f"{noun}Name": owner, "PolicyName": policy}

    async def read() -> str:
        try:
            results = await visit.iam(f"Get{noun}Policy", **params)
        except NoSuchEntity:
            if not visit.posted:
                raise NoSuchEntity(f"{owner} has no policy {policy}.") from None
            return ""
        return unquote(results["PolicyDocument"])

    async def find(call: Call) -> str:
        holder = await _REQUIRE[kind](call.change, call.account, owner)
        listed = await list_inline_policies(call.change, call.account, owner_id(holder))
        same = (
            inline_policy.document
            for inline_policy in listed
            if inline_policy.name.lower() == policy.lower()
        )
        return next(same, "")

    back = address(_PAGES[kind], name=owner)
    put = ("iam", f"Put{noun}Policy")
    stored = _Stored(
        PolicyKind.IDENTITY, read, find, put, params, "Policy saved.", back, policy
    )
    edited = await _edit(visit, stored, empty=not policy)
    if isinstance(edited, Response):
        return edited
    return await visit.show(
        "admin/embedded_policy.html",
        editor=edited,
        action=INLINE,
        title=f"Policy of the {kind} {owner}",
        back=back,
        back_label=owner,
        policy_name=policy,
        lines=(),
        kind=kind,
        owner=owner,
    )


async def _resource(visit: Visit, *, is_new: bool) -> Response:
    arn = visit.text("arn")[:_ARN_MAX] if is_new else visit.form.require("arn")
    arn = arn[:_ARN_MAX]

    async def read() -> str:
        answer = await visit.perform(SERVICE, "GetResourcePolicy", ResourceArn=arn)
        return str(answer["ResourcePolicy"]["PolicyDocument"])

    async def find(call: Call) -> str:
        policy = await call.change.find(RESOURCE_POLICY, call.account, arn)
        if policy is None:
            return ""
        return (await shown_trust_policies(call.change, [policy.document]))[0]

    stored = _Stored(
        PolicyKind.RESOURCE,
        read,
        find,
        (SERVICE, "PutResourcePolicy"),
        {"ResourceArn": arn},
        "Resource policy saved.",
        RESOURCES,
        arn,
    )
    edited = await _edit(visit, stored, empty=is_new)
    if isinstance(edited, Response):
        return edited
    return await visit.show(
        "admin/resource_policy.html",
        editor=edited,
        arn=arn,
        is_new=is_new,
        action=NEW if is_new else address(EDIT, arn=arn),
        title="New resource policy"
        if is_new
        else f"Policy of {arn.rpartition(':')[2]}",
        back=RESOURCES,
        back_label="Resource policies",
        policy_name=None,
        lines=(),
        examples=await _examples(visit) if is_new else (),
    )


async def _new_resource(visit: Visit) -> Response:
    return await _resource(visit, is_new=True)


async def _edit_resource(visit: Visit) -> Response:
    if visit.posted and visit.text(DO) == "delete":
        with visit.attempt():
            arn = visit.form.require("arn")[:_ARN_MAX]
            await visit.perform(SERVICE, "DeleteResourcePolicy", ResourceArn=arn)
            return visit.done("Resource policy deleted.", RESOURCES)
    return await _resource(visit, is_new=False)


async def _examples(visit: Visit) -> list[str]:
    """What the ARNs of the account's services look like."""
    results: list[str] = []
    for view in await read_service_views(visit):
        if view.compiled is None:
            continue
        if view.prefix == EXECUTE_API:
            results.append(view.compiled.every_request.removesuffix("*") + "GET")
        results += view.compiled.resource_patterns.values()
    return results[:_EXAMPLES_MAX]


def _lines(editor: PolicyEditor, visit: Visit) -> tuple[TrustLine, ...]:
    document = editor.check().document
    if document is None:
        return ()
    return trust_lines(document, visit.who.session.account)


PAGES = (
    PageRoute(TRUST, "roles", _trust, BOTH, long=True),
    PageRoute(INLINE, "", _inline, BOTH, long=True),
    ListPage(
        path=RESOURCES,
        here=_RESOURCES_HERE,
        template="admin/resource_policies.html",
        read=whole_list("broker:ListResourcePolicies", "ResourcePolicies"),
        searched=itemgetter("ResourceArn"),
        by={
            "resource": lambda row: row["ResourceArn"].split(":", 5)[5].lower(),
            "service": itemgetter("ResourceArn"),
            "changed": itemgetter("UpdateDate"),
        },
        order="service",
    ).route(),
    PageRoute(NEW, _RESOURCES_HERE, _new_resource, BOTH, long=True),
    PageRoute(EDIT, _RESOURCES_HERE, _edit_resource, BOTH, long=True),
)
