"""Managed policies and their versions: an account's own, and those of AWS."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from broker import errors
from broker.kinds.accounts import accepts_unlisted_policies, require_account
from broker.kinds.documents import checked_document
from broker.kinds.limits import Quota, require_version_room, require_within
from broker.kinds.names import AWS_MANAGED, parse_policy_arn, require_path
from broker.kinds.rules import Named, Work, create
from broker.kinds.tags import KeyCase, given_tags
from broker.model.account import Account, AccountId
from broker.model.entities import ManagedPolicy, PolicyVersion
from broker.policy import PolicyKind, policy_size
from broker.policy.catalogue import (
    AWS_MANAGED_PREFIX,
    find_managed_policy_entry,
    made_policy_id,
    managed_policy_arns,
)
from broker.runtime.bounded import remembered
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.kinds import ACCOUNT, MANAGED_POLICY
from broker.stores.directory.policies import (
    count_attached_owners,
    count_bounded_owners,
    delete_policy_version,
    insert_policy_version,
    list_policy_versions,
    list_used_policy_arns,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import iam as types


SERVICE_ROLE_POLICIES: Final = f"{AWS_MANAGED_PREFIX}aws-service-role/"
"""The prefix of the ARNs of policies that only service-linked roles have."""


_NO_PERMISSION: Final = (
    '{"Version":"2012-10-17","Statement":'
    '[{"Effect":"Deny","Action":"none:null","Resource":"*"}]}'
)
"""The document of an unlisted policy: valid, but it allows no existing action."""

_PART = r"[A-Za-z0-9_+=,.@-]+"
_ARN = re.compile(rf"{AWS_MANAGED_PREFIX}(?:{_PART}/)*({_PART})")
_NAME_MAX = 128
_ARN_MAX = 2048

_LONG_AGO = datetime(2015, 2, 6, tzinfo=UTC)
"""When AWS made its first managed policies."""


async def find_managed_policy(
    directory: DirectoryReader, account: AccountId, arn: str
) -> ManagedPolicy | None:
    """A policy that the account can use, by ARN: its own, or an AWS-managed one.

    Raises:
        ValidationError: that is not a policy's ARN.
    """
    named = parse_policy_arn(arn)
    if named.account == AWS_MANAGED:
        return find_aws_managed(arn) or await _find_unlisted(directory, account, arn)
    policy = await directory.named(MANAGED_POLICY, account, named.name)
    return policy if policy is not None and policy.arn == arn else None


async def require_managed_policy(
    directory: DirectoryReader, account: AccountId, arn: str
) -> ManagedPolicy:
    """As ``find_managed_policy``.

    Raises:
        NoSuchEntity: there is no such policy.
        ValidationError: that is not a policy's ARN.
    """
    policy = await find_managed_policy(directory, account, arn)
    if policy is None:
        raise errors.NoSuchEntity(f"Policy {arn} was not found.")
    return policy


async def require_own_policy(
    directory: DirectoryReader, account: AccountId, arn: str
) -> ManagedPolicy:
    """A policy that the account may change.

    Raises:
        NoSuchEntity: there is no such policy.
        AccessDenied: AWS manages it.
    """
    policy = await require_managed_policy(directory, account, arn)
    if policy.account != account:
        raise errors.AccessDenied("Policy is outside your own account.")
    return policy


async def _find_unlisted(
    directory: DirectoryReader, account_id: AccountId, arn: str
) -> ManagedPolicy | None:
    """A policy for an unlisted AWS name, if the account accepts those."""
    policy = unlisted_policy(arn)
    if policy is None:
        return None
    account = await directory.find(ACCOUNT, account_id)
    accepted = account is not None and accepts_unlisted_policies(account)
    return policy if accepted else None


async def list_used_aws_managed(
    directory: DirectoryReader, account: AccountId, path_prefix: str = "/"
) -> list[ManagedPolicy]:
    """The AWS managed policies below a path that the account uses, with use counts."""
    arns = await list_used_policy_arns(directory, account, AWS_MANAGED_PREFIX)
    policies = [require_aws_managed(arn) for arn in arns]
    below = [policy for policy in policies if policy.path.startswith(path_prefix)]
    return await count_uses(directory, account, below)


async def count_uses(
    directory: DirectoryReader, account: AccountId, policies: Sequence[ManagedPolicy]
) -> list[ManagedPolicy]:
    """AWS-managed policies with their uses within the account."""
    arns = [policy.arn for policy in policies]
    attached = await count_attached_owners(directory, account, arns)
    bounded = await count_bounded_owners(directory, account, arns)
    return [
        replace(
            policy,
            attachment_count=attached.get(policy.arn, 0),
            boundary_count=bounded.get(policy.arn, 0),
        )
        for policy in policies
    ]


async def _make(params: types.CreatePolicyRequest, work: Work) -> ManagedPolicy:
    tags = given_tags(params.get("Tags", ()), KeyCase.SENSITIVE)
    path, document = require_path(params.get("Path", "/")), params["PolicyDocument"]
    check_document(await require_account(work.change, work.account), document)
    policy = ManagedPolicy(
        account=work.account,
        policy_id=new_unique_id("ANPA"),
        name=params["PolicyName"],
        path=path,
        description=params.get("Description") or None,
        default_version=PolicyVersion(
            version_id="v1", document=document, created_at=work.now
        ),
        next_version=2,
        created_at=work.now,
        updated_at=work.now,
        tags=tags,
    )
    if await work.change.named(MANAGED_POLICY, work.account, policy.name) is not None:
        raise errors.EntityAlreadyExists(MANAGED_POLICIES.taken.format(policy))
    return policy


def _view(policy: ManagedPolicy) -> types.Policy:
    return {
        "PolicyName": policy.name,
        "PolicyId": policy.policy_id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": policy.default_version.version_id,
        "AttachmentCount": policy.attachment_count,
        "PermissionsBoundaryUsageCount": policy.boundary_count,
        "IsAttachable": True,
        "CreateDate": policy.created_at,
        "UpdateDate": policy.updated_at,
    }


async def _check_removal(policy: ManagedPolicy, directory: DirectoryReader) -> None:
    """Refuse to remove a policy that is in use, or has further versions."""
    if policy.attachment_count or policy.boundary_count:
        raise errors.DeleteConflict("Cannot delete a policy attached to entities.")
    versions = await list_policy_versions(directory, policy.account, policy.policy_id)
    if len(versions) > 1:
        raise errors.DeleteConflict(
            "This policy has more than one version. Before you delete a policy, you "
            "must delete the policy's versions. The default version is deleted with "
            "the policy."
        )


MANAGED_POLICIES = Named(
    kind=MANAGED_POLICY,
    quota=Quota.POLICIES,
    make=_make,
    view=_view,
    check_removal=_check_removal,
    taken="A policy called {0.name} already exists. Duplicate names are not allowed.",
    name="PolicyArn",
    resource="policy",
    one="Policy",
    many="Policies",
)


async def create_policy(params: types.CreatePolicyRequest, work: Work) -> ManagedPolicy:
    """Make a policy; its document becomes version ``v1``.

    Raises:
        MalformedPolicyDocument: the document is refused.
        EntityAlreadyExists: the name is taken.
        LimitExceeded: the account has too many, or the document is too large.
    """
    policy = await create(MANAGED_POLICIES, params, work)
    await insert_policy_version(work.change, policy, policy.default_version)
    return policy


async def create_version(
    change: DirectoryChange,
    account: Account,
    policy: ManagedPolicy,
    document: str,
    *,
    make_default: bool,
    now: datetime,
) -> PolicyVersion:
    """Add a version; numbers are never given twice.

    Raises:
        MalformedPolicyDocument: the document is refused.
        LimitExceeded: there are as many versions as there may be, or it is too large.
    """
    check_document(account, document)
    versions = await list_policy_versions(change, policy.account, policy.policy_id)
    require_version_room(account, len(versions))
    version = PolicyVersion(
        version_id=f"v{policy.next_version}", document=document, created_at=now
    )
    await insert_policy_version(change, policy, version)
    await change.update(
        MANAGED_POLICY,
        replace(
            policy,
            next_version=policy.next_version + 1,
            default_version=version if make_default else policy.default_version,
            updated_at=now,
        ),
    )
    return version


async def delete_version(
    change: DirectoryChange, policy: ManagedPolicy, version_id: str
) -> None:
    """Remove a version that is not in force.

    Raises:
        NoSuchEntity: there is no such version.
        DeleteConflict: it is the one in force.
    """
    version = await require_version(change, policy, version_id)
    if version.version_id == policy.default_version.version_id:
        raise errors.DeleteConflict("Cannot delete the default version of a policy.")
    await delete_policy_version(change, policy, version.version_id)


async def list_versions(
    directory: DirectoryReader, policy: ManagedPolicy
) -> tuple[PolicyVersion, ...]:
    """All versions, newest first; of an AWS-managed policy only the one in force."""
    if policy.account == AWS_MANAGED:
        return (policy.default_version,)
    return await list_policy_versions(directory, policy.account, policy.policy_id)


async def require_version(
    directory: DirectoryReader, policy: ManagedPolicy, version_id: str
) -> PolicyVersion:
    """A version by its id.

    Raises:
        NoSuchEntity: there is no such version.
    """
    for version in await list_versions(directory, policy):
        if version.version_id == version_id:
            return version
    raise missing_version(policy.arn, version_id)


def missing_version(arn: str, version_id: str) -> errors.NoSuchEntity:
    """The error for a version, or the policy of a version, that is not there."""
    return errors.NoSuchEntity(
        f"Policy {arn} version {version_id} does not exist or is not attachable."
    )


def check_document(account: Account, document: str) -> None:
    """Check the document of a new version.

    Raises:
        MalformedPolicyDocument: the document is refused.
        LimitExceeded: it is too large.
    """
    with errors.about("PolicyDocument"):
        # Check the size first: only a document that is too large takes long to parse.
        require_within(account, Quota.POLICY_SIZE, policy_size(document))
        checked_document(document, PolicyKind.IDENTITY, managed=True)


@remembered()
def find_aws_managed(arn: str) -> ManagedPolicy | None:
    """The AWS-managed policy with this ARN (``arn:aws:iam::aws:policy/…``)."""
    entry = find_managed_policy_entry(arn)
    if entry is None:
        return None
    return ManagedPolicy(
        account=AWS_MANAGED,
        policy_id=entry.policy_id,
        name=entry.name,
        path=entry.path,
        description=entry.description or None,
        default_version=PolicyVersion(
            version_id=f"v{entry.version}",
            document=entry.document,
            created_at=entry.updated_at,
        ),
        next_version=entry.version + 1,
        created_at=entry.created_at,
        updated_at=entry.updated_at,
    )


def require_aws_managed(arn: str) -> ManagedPolicy:
    """As ``find_aws_managed``, including unlisted policies.

    Raises:
        NoSuchEntity: no AWS-managed policy can have this ARN.
    """
    policy = find_aws_managed(arn) or unlisted_policy(arn)
    if policy is None:
        raise errors.NoSuchEntity(f"Policy {arn} was not found.")
    return policy


def aws_managed_arns(path_prefix: str = "/") -> list[str]:
    """The ARNs of the policies below a path, in AWS's order: oldest first."""
    arns = managed_policy_arns()
    if path_prefix == "/":
        return list(arns)
    return [arn for arn in arns if _path(arn).startswith(path_prefix)]


def unlisted_policy(arn: str) -> ManagedPolicy | None:
    """A stand-in for an AWS-managed policy that the catalogue lacks.

    None if the ARN does not have AWS's pattern, or the catalogue has the policy.
    """
    named = _ARN.fullmatch(arn)
    if named is None or len(arn) > _ARN_MAX or len(named[1]) > _NAME_MAX:
        return None
    if find_aws_managed(arn) is not None:
        return None
    return ManagedPolicy(
        account=AWS_MANAGED,
        policy_id=made_policy_id(arn),
        name=named[1],
        path=_path(arn),
        description=None,
        default_version=PolicyVersion(
            version_id="v1", document=_NO_PERMISSION, created_at=_LONG_AGO
        ),
        next_version=2,
        created_at=_LONG_AGO,
        updated_at=_LONG_AGO,
    )


def _path(arn: str) -> str:
    return arn.partition(":policy")[2].rpartition("/")[0] + "/"
