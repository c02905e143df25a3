"""Managed policies on users, roles and groups: attached, or as a boundary."""

from broker.errors import InvalidInput, NoSuchEntity, PolicyNotAttachable
from broker.identities.aws_managed import SERVICE_ROLE_POLICIES
from broker.identities.limits import require_within
from broker.identities.managed_policies import find_managed_policy
from broker.identities.names import parse_policy_arn
from broker.identities.owners import Owner, kind_of, owner_id
from broker.model.account import Account, AccountId
from broker.stores.directory import policies
from broker.stores.directory.policies import list_attachments
from broker.stores.directory.port import DirectoryChange, DirectoryReader


async def attach_policy(
    change: DirectoryChange, account: Account, owner: Owner, policy_arn: str
) -> None:
    """Attach a managed policy; one that is attached already stays so.

    Raises:
        ValidationError: that is not a policy's ARN.
        NoSuchEntity: there is no such policy.
        PolicyNotAttachable: it is one of the policies of service-linked roles.
        LimitExceeded: the owner has as many policies as it may.
    """
    parse_policy_arn(policy_arn)
    if await find_managed_policy(change, owner.account, policy_arn) is None:
        raise NoSuchEntity(f"Policy {policy_arn} does not exist or is not attachable.")
    if policy_arn.startswith(SERVICE_ROLE_POLICIES):
        noun = kind_of(owner).noun.capitalize()
        raise PolicyNotAttachable(
            f"Cannot attach a Service Role Policy to a Customer {noun}."
        )
    attached = await list_attachments(change, owner.account, owner_id(owner))
    if policy_arn in attached:
        return
    require_within(account, kind_of(owner).attached, len(attached) + 1)
    await policies.attach_policy(change, owner.account, owner_id(owner), policy_arn)


async def detach_policy(change: DirectoryChange, owner: Owner, policy_arn: str) -> None:
    """Detach a managed policy.

    Raises:
        ValidationError: that is not a policy's ARN.
        NoSuchEntity: it is not attached.
    """
    parse_policy_arn(policy_arn)
    if not await policies.detach_policy(
        change, owner.account, owner_id(owner), policy_arn
    ):
        raise NoSuchEntity(f"Policy {policy_arn} was not found.")


async def checked_boundary(
    directory: DirectoryReader, account: AccountId, policy_arn: str
) -> str:
    """The ARN of a managed policy that may serve as a permissions boundary.

    Raises:
        InvalidInput: that is not a policy's ARN.
        NoSuchEntity: there is no such policy.
    """
    parse_policy_arn(policy_arn, InvalidInput)
    if await find_managed_policy(directory, account, policy_arn) is None:
        raise NoSuchEntity(
            f"Scope ARN: {policy_arn} does not exist or is not attachable."
        )
    return policy_arn
