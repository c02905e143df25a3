"""What IAM's actions act on, and the condition keys they bring.

The ARNs are those of the Service Authorization Reference, "Actions, resources, and
condition keys for AWS Identity and Access Management". An entity that exists counts
with its own path and case, whatever way the request writes its name.
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from broker.actions.action import Call
from broker.actions.iam.declare import ActionTarget, Context, FurtherTarget, Target
from broker.errors import AccessDenied, BrokerError, ValidationError
from broker.kinds.groups import GROUPS
from broker.kinds.managed_policies import find_managed_policy
from broker.kinds.providers import checked_issuer_url
from broker.kinds.roles import ROLES
from broker.kinds.rules import Named
from broker.kinds.users import USERS
from broker.model.arn import iam_arn
from broker.model.entities import Role, User
from broker.model.principal import PrincipalType
from broker.model.request import Params
from broker.permit.context import tag_context
from broker.sessions.lineage import has_shown_mfa
from broker.stores.directory.kinds import MFA_DEVICE, PASSKEY

_NOT_SHOWN = (
    "To complete this action, please ensure that you are authenticated with an MFA"
    " device that is enabled for this user."
)


async def account(_given: Params, _call: Call) -> ActionTarget:
    """The account as such: ``*``."""
    return ActionTarget("*")


def named(of: Named[Any]) -> Target:
    """What a request names, there or not."""

    async def target(params: Params, call: Call) -> ActionTarget:
        name = params[of.name]
        if of.by_arn:
            try:
                entity = await of.require(call.directory, call.account, name)
            except BrokerError:
                return ActionTarget(name)
        else:
            entity = await call.directory.named(of.kind, call.account, name)
        text = f"{of.shown} {name}" if of.shown else None
        if entity is None:
            arn = iam_arn(call.account, f"{of.resource}/{name}")
            return ActionTarget(arn, shown=text)
        tags = getattr(entity, "tags", {})
        if not isinstance(entity, User | Role):
            return ActionTarget(entity.arn, resource_tags(tags), shown=text)
        context = {**resource_tags(tags), **tag_context("iam:resourcetag", tags)}
        return ActionTarget(entity.arn, context, entity.boundary_arn, text)

    return target


role, user, group = named(ROLES), named(USERS), named(GROUPS)


async def user_or_self(params: Params, call: Call) -> ActionTarget:
    """The user ``UserName``, or the caller when the request names none."""
    name = own_name(params, call)
    if name is None:
        return ActionTarget(iam_arn(call.account, "root"))
    return await user({"UserName": name}, call)


def own_name(params: Params, call: Call) -> str | None:
    """The user that a request is about; None for the account's root.

    Raises:
        ValidationError: the request names none, and the caller is neither.
    """
    name: str | None = params.get("UserName")
    if name is not None:
        return name
    principal = call.caller.principal
    if principal.type is PrincipalType.ACCOUNT:
        return None
    if principal.type is PrincipalType.USER:
        return principal.username
    raise ValidationError(
        "Must specify userName when calling with non-User credentials"
    )


async def new_saml_provider(params: Params, call: Call) -> ActionTarget:
    """The SAML provider that ``Name`` will name."""
    return ActionTarget(iam_arn(call.account, f"saml-provider/{params['Name']}"))


async def new_oidc_provider(params: Params, call: Call) -> ActionTarget:
    """The OpenID Connect provider that ``Url`` will name."""
    url = params["Url"]
    with contextlib.suppress(BrokerError):
        # As it will be stored, so that no other spelling evades a policy's Deny.
        url = checked_issuer_url(url, call.account, lambda *_: True)
    host_and_path = url.partition("://")[2]
    return ActionTarget(iam_arn(call.account, f"oidc-provider/{host_and_path}"))


async def policy(params: Params, call: Call) -> ActionTarget:
    """The managed policy ``PolicyArn``."""
    arn = params["PolicyArn"]
    text = f"policy {arn}"
    try:
        managed_policy = await find_managed_policy(call.directory, call.account, arn)
    except BrokerError:
        return ActionTarget(arn, shown=text)
    tags = {} if managed_policy is None else resource_tags(managed_policy.tags)
    return ActionTarget(arn, tags, shown=text)


async def new_policy(params: Params, call: Call) -> ActionTarget:
    """The managed policy that ``PolicyName`` will name."""
    made = await new("policy", "PolicyName")(params, call)
    return replace(made, shown=f"policy {params['PolicyName']}")


async def policies(params: Params, call: Call) -> ActionTarget:
    """The managed policies below the path that the request gives."""
    target = await all_of("policy")(params, call)
    return replace(target, shown=f"policy path {params.get('PathPrefix', '/')}")


def new(kind: str, parameter: str) -> Target:
    """A ``kind`` of entity at the path and under the name that the request gives."""

    async def target(params: Params, call: Call) -> ActionTarget:
        path = params.get("Path", "/")
        return ActionTarget(iam_arn(call.account, f"{kind}{path}{params[parameter]}"))

    return target


def all_of(kind: str) -> Target:
    """A ``kind`` of entities below the path that the request gives."""

    async def target(params: Params, call: Call) -> ActionTarget:
        return ActionTarget(
            iam_arn(call.account, f"{kind}{params.get('PathPrefix', '/')}")
        )

    return target


def any_provider(kind: str) -> Target:
    """All providers of a kind."""

    async def target(_given: Params, call: Call) -> ActionTarget:
        return ActionTarget(iam_arn(call.account, f"{kind}/*"))

    return target


def tag_keys(params: Params, _on: ActionTarget) -> Context:
    """``aws:TagKeys`` of the keys in the request."""
    keys = tuple(params["TagKeys"])
    return {"aws:tagkeys": keys} if keys else {}


def policy_arn(params: Params, _on: ActionTarget) -> Context:
    """``iam:PolicyARN``."""
    return {"iam:policyarn": (params["PolicyArn"],)}


def boundary_asked(params: Params, _on: ActionTarget) -> Context:
    """``iam:PermissionsBoundary`` as the request sets it."""
    arn = params.get("PermissionsBoundary")
    return {} if arn is None else {"iam:permissionsboundary": (arn,)}


def boundary_held(_given: Params, on: ActionTarget) -> Context:
    """``iam:PermissionsBoundary`` as the user or role has it."""
    if on.boundary_arn is None:
        return {}
    return {"iam:permissionsboundary": (on.boundary_arn,)}


def renamed(of: Named[Any], parameter: str) -> FurtherTarget:
    """What an entity will be called: a rename needs the permission for both names."""

    def target(params: Params, call: Call, old: ActionTarget) -> ActionTarget | None:
        if parameter not in params and "NewPath" not in params:
            return None
        path, _, name = old.arn.partition(f":{of.resource}")[2].rpartition("/")
        path, name = params.get("NewPath", f"{path}/"), params.get(parameter, name)
        return ActionTarget(iam_arn(call.account, f"{of.resource}{path}{name}"))

    return target


def resource_tags(tags: Mapping[str, str]) -> Context:
    """``aws:ResourceTag/…`` of what has these tags."""
    return tag_context("aws:resourcetag", tags)


async def require_shown_factor(holder_id: str, call: Call) -> None:
    """Require a second factor of callers who change their own.

    The whole lineage of the call counts: a chain of sessions that began with the
    holder's key or password must have shown one of the holder's factors somewhere,
    whichever roles it passed through. Other callers need the permission alone, and
    adding the first factor needs none.

    Source: AWS security bulletin AWS-2023-001, which is about keys; the text was
    recorded.

    Raises:
        AccessDenied: none was shown, and the holder has one.
    """
    caller = call.caller
    if caller.session is not None:
        is_unshown = has_shown_mfa(caller.session, holder_id) is False
    else:
        is_unshown = caller.principal.unique_id == holder_id
    if is_unshown and (
        await call.directory.count(MFA_DEVICE, call.account, user_id=holder_id)
        or await call.directory.count(PASSKEY, call.account, user_id=holder_id)
    ):
        raise AccessDenied(_NOT_SHOWN)
