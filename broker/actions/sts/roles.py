"""What the three ways to assume a role have in common."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.arn import sts_arn
from broker.model.entities import Role
from broker.model.session import Session, TemporaryCredentials
from broker.permit.context import tag_context
from broker.permit.need import Need, Trust
from broker.proofs.federated import account_of_arn
from broker.sessions.seal import token_utilization
from broker.sessions.tags import SessionTags
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.readings import FreshDirectory


async def find_role(fresh: FreshDirectory, role_arn: str) -> Role | None:
    """The role of exactly this ARN, path and case included.

    Raises:
        ValidationError: it is not a role's ARN.
    """
    account = account_of_arn(role_arn, "role/")
    role = await fresh.named(ROLE, account, role_arn.rpartition("/")[2])
    return role if role is not None and role.arn == role_arn else None


def role_needs(
    operation: str,
    params: Mapping[str, Any],
    role: Role | None,
    *,
    tags: SessionTags,
    source_identity: str | None,
    context: Mapping[str, tuple[str, ...]],
    calling: Session | None = None,
) -> tuple[Need, ...]:
    """The permissions that a role's trust policy (and the caller's own) must give.

    ``tags`` are those passed by the call or the identity provider; inherited ones
    are added after the trust policy was evaluated. What the ``calling`` session hands
    on needs the same permissions as what the call passes, and is not part of the
    request's context. Source: IAM User Guide, id_session-tags and "Monitor and
    control actions taken with assumed roles" (role chaining).
    """
    arn: str = params["RoleArn"]
    shared = {**context, **_passed(params, tags, source_identity)}
    if role is not None and role.tags:
        shared.update(tag_context("aws:resourcetag", role.tags))
        shared.update(tag_context("iam:resourcetag", role.tags))
    need = Need(
        action=operation,
        resource=arn,
        account=account_of_arn(arn, "role/"),
        context=shared,
        trust=Trust(role=role),
    )
    needs: tuple[Need, ...] = (need,)
    if tags.tags or (calling and calling.transitive_keys):
        needs += (replace(need, action="sts:TagSession"),)
    if source_identity is not None or (calling and calling.source_identity):
        needs += (replace(need, action="sts:SetSourceIdentity"),)
    return needs


def assumed_role_user(
    account: AccountId, role: Role, session_name: str
) -> dict[str, str]:
    """``AssumedRoleUser``; the session's ARN has no path."""
    return {
        "AssumedRoleId": f"{role.role_id}:{session_name}",
        "Arn": sts_arn(account, f"assumed-role/{role.name}/{session_name}"),
    }


def credentials_shape(credentials: TemporaryCredentials) -> dict[str, Any]:
    """``Credentials`` of an answer. From here on the secret is in the open."""
    return {
        "AccessKeyId": credentials.access_key_id,
        "SecretAccessKey": credentials.secret_access_key.reveal(),
        "SessionToken": credentials.session_token.reveal(),
        "Expiration": credentials.expiration,
    }


def minted_shape(credentials: TemporaryCredentials) -> dict[str, Any]:
    """The same, and the token's size: in bytes, and per cent of what one may have."""
    shape = credentials_shape(credentials)
    return {
        "Credentials": shape,
        "SessionTokenUtilization": token_utilization(shape["SessionToken"]),
        "SessionTokenSize": len(shape["SessionToken"]),
    }


def _passed(
    params: Mapping[str, Any], tags: SessionTags, source_identity: str | None
) -> dict[str, tuple[str, ...]]:
    context: dict[str, tuple[str, ...]] = {}
    if "RoleSessionName" in params:
        context["sts:rolesessionname"] = (params["RoleSessionName"],)
    if "ExternalId" in params:
        context["sts:externalid"] = (params["ExternalId"],)
    if "DurationSeconds" in params:
        context["sts:durationseconds"] = (str(params["DurationSeconds"]),)
    if source_identity is not None:
        context["sts:sourceidentity"] = (source_identity,)
    if tags.tags:
        context.update(tag_context("aws:requesttag", tags.tags))
        context["aws:tagkeys"] = tuple(tags.tags)
    if tags.transitive_keys:
        context["sts:transitivetagkeys"] = tuple(sorted(tags.transitive_keys))
    return context
