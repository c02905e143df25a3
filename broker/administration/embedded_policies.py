"""Editing the policies embedded in their owner: inline policies and trust policies.

They have no versions, so the editor carries the hash of the text it started from, and
the transaction that replaces the text compares it first.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

from starlette.responses import Response

from broker.actions.action import Call
from broker.administration.declared_services import read_declared
from broker.administration.policy_editor import (
    PolicyEditor,
    begin,
    begin_empty,
    content_hash,
    format_text,
    read_editor,
)
from broker.administration.policy_saving import press_button
from broker.administration.roles import ONE as ROLE
from broker.administration.trust_words import TrustLine, trust_lines
from broker.console.context import Precondition
from broker.console.visit import BOTH, PageRoute, Visit, address
from broker.errors import ConcurrentModification, NoSuchEntity, ValidationError
from broker.identities.groups import require_group
from broker.identities.owners import Owner, owner_id
from broker.identities.roles import require_role
from broker.identities.trust import shown_trust_policies
from broker.identities.users import require_user
from broker.model.account import AccountId
from broker.policy import PolicyKind
from broker.stores.directory.policies import list_inline_policies
from broker.stores.directory.port import DirectoryReader

TRUST = "/console/roles/trust"
INLINE = "/console/inline"
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


async def _trust(visit: Visit) -> Response:
    name = visit.text("name")[:128]
    text = await _trust_text(visit, name)
    editor = read_editor(visit.posted_form, PolicyKind.TRUST)

    async def save(editor: PolicyEditor) -> Response:
        await visit.iam_if(
            _trust_is(name, editor.base),
            "UpdateAssumeRolePolicy",
            RoleName=name,
            PolicyDocument=editor.policy(),
        )
        return visit.done("Trust policy saved.", ROLE, name=name)

    async def read_stored() -> tuple[str, str]:
        stored = await _trust_text(visit, name)
        return stored, content_hash(stored)

    edited = (
        begin(format_text(text), PolicyKind.TRUST, content_hash(text))
        if editor is None
        else await press_button(visit, editor, save, read_stored)
    )
    if isinstance(edited, Response):
        return edited
    return await visit.show(
        "admin/embedded_policy.html",
        editor=edited,
        action=address(TRUST, name=name),
        title=f"Trust policy of {name}",
        back=address(ROLE, name=name),
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
    declared = await read_declared(visit)
    editor = read_editor(visit.posted_form, PolicyKind.IDENTITY)
    if editor is not None:
        editor = replace(editor, declared=declared)

    async def save(editor: PolicyEditor) -> Response:
        await visit.iam_if(
            _inline_is(kind, owner, policy, editor.base),
            f"Put{noun}Policy",
            PolicyName=policy,
            PolicyDocument=editor.policy(),
            **{f"{noun}Name": owner},
        )
        return visit.done("Policy saved.", _PAGES[kind], name=owner)

    async def read_stored() -> tuple[str, str]:
        stored = await _inline_text(visit, noun, owner, policy)
        return stored, content_hash(stored)

    edited = (
        await _begin_inline(visit, noun, owner, policy)
        if editor is None
        else await press_button(visit, editor, save, read_stored)
    )
    if isinstance(edited, Response):
        return edited
    return await visit.show(
        "admin/embedded_policy.html",
        editor=replace(edited, declared=declared),
        action=INLINE,
        title=f"Policy of the {kind} {owner}",
        back=address(_PAGES[kind], name=owner),
        back_label=owner,
        policy_name=policy,
        lines=(),
        kind=kind,
        owner=owner,
    )


async def _begin_inline(
    visit: Visit, noun: str, owner: str, policy: str
) -> PolicyEditor:
    if not policy:
        return begin_empty(PolicyKind.IDENTITY)
    text = await _inline_text(visit, noun, owner, policy)
    if not text:
        raise NoSuchEntity(f"{owner} has no policy {policy}.")
    return begin(format_text(text), PolicyKind.IDENTITY, content_hash(text))


async def _inline_text(visit: Visit, noun: str, owner: str, policy: str) -> str:
    """Read the stored text; empty when there is none."""
    try:
        found = await visit.iam(
            f"Get{noun}Policy", PolicyName=policy, **{f"{noun}Name": owner}
        )
    except NoSuchEntity:
        return ""
    return unquote(found["PolicyDocument"])


async def _trust_text(visit: Visit, name: str) -> str:
    role: Mapping[str, Any] = (await visit.iam("GetRole", RoleName=name))["Role"]
    return unquote(role["AssumeRolePolicyDocument"])


def _trust_is(name: str, base: str) -> Precondition:
    async def check(call: Call) -> None:
        role = await require_role(call.change, call.account, name)
        (shown,) = await shown_trust_policies(call.change, [role.trust_policy])
        _require_same(shown, base)

    return check


def _inline_is(kind: str, owner: str, policy: str, base: str) -> Precondition:
    async def check(call: Call) -> None:
        holder = await _REQUIRE[kind](call.change, call.account, owner)
        listed = await list_inline_policies(call.change, call.account, owner_id(holder))
        text = next(
            (p.document for p in listed if p.name.lower() == policy.lower()), ""
        )
        _require_same(text, base)

    return check


def _require_same(text: str, base: str) -> None:
    if content_hash(text) != base:
        raise ConcurrentModification(
            "Someone else changed this policy after you started editing."
        )


def _lines(editor: PolicyEditor, visit: Visit) -> tuple[TrustLine, ...]:
    document = editor.check().document
    if document is None:
        return ()
    return trust_lines(document, visit.who.session.account)


PAGES = (
    PageRoute(TRUST, "roles", _trust, BOTH, long=True),
    PageRoute(INLINE, "", _inline, BOTH, long=True),
)
