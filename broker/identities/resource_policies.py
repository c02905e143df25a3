"""Policies of the resources of registered services: the rules."""

from datetime import datetime
from typing import Protocol

from broker.errors import InvalidInput, NoSuchEntity
from broker.identities.documents import checked_document
from broker.identities.limits import Quota, require_within
from broker.identities.trust import pin_principals
from broker.model.account import Account, AccountId
from broker.model.arn import Arn
from broker.model.registered import ResourcePolicy
from broker.policy import PolicyKind, policy_size
from broker.protocols.enforcement.mapping import EXECUTE_API, RESOURCE_CHARACTERS_MAX
from broker.stores.directory.port.principals import PrincipalReader
from broker.stores.directory.port.services import (
    ResourcePolicyChange,
    ResourcePolicyReader,
    ServiceReader,
)

_ARN_PARTS = 6


class _Directory(ResourcePolicyChange, ServiceReader, PrincipalReader, Protocol):
    """What writing a policy reads and changes."""


async def require_resource_policy(
    directory: ResourcePolicyReader, account: AccountId, arn: str
) -> ResourcePolicy:
    """The policy of a resource.

    Raises:
        NoSuchEntity: it has none.
    """
    policy = await directory.find_resource_policy(account, arn)
    if policy is None:
        raise NoSuchEntity(f"The resource {arn} has no policy.")
    return policy


async def put_resource_policy(
    change: _Directory, account: Account, arn: str, text: str, now: datetime
) -> None:
    """Give a resource a policy in place of the one it has.

    It applies to the resource and to everything below it, after a slash.

    Raises:
        InvalidInput: the ARN is of no registered service of the account, or has a
            wildcard.
        MalformedPolicyDocument: the document is refused, or names a principal that
            does not exist.
        LimitExceeded: it is too large, or there are too many.
    """
    await check_resource(change, account.account_id, arn)
    # Check the size first: only a document that is too large takes long to parse.
    require_within(account, Quota.RESOURCE_POLICY_SIZE, policy_size(text))
    checked_document(text, PolicyKind.RESOURCE)
    document = await pin_principals(change, account.account_id, text)
    if await change.find_resource_policy(account.account_id, arn) is None:
        count = await change.count(account.account_id, "resource_policies")
        require_within(account, Quota.RESOURCE_POLICIES, count + 1)
    await change.put_resource_policy(
        ResourcePolicy(
            account=account.account_id,
            arn=arn,
            document=document,
            created_at=now,
            updated_at=now,
        )
    )


async def check_resource(
    directory: ServiceReader, account: AccountId, arn: str
) -> None:
    """Check that an ARN is of a registered service's resource.

    Raises:
        InvalidInput: it is not.
    """
    try:
        parsed = Arn.parse(arn)
    except ValueError as error:
        raise InvalidInput(f"{arn[:200]} is not an ARN.") from error
    if len(arn) > RESOURCE_CHARACTERS_MAX or "*" in arn or "?" in arn:
        raise InvalidInput(
            "A policy is put on one resource: write its ARN without wildcards."
        )
    name = parsed.service
    if name == EXECUTE_API:
        name = parsed.resource.partition("/")[0]
    if parsed.account not in {"", account} or parsed.partition != "aws":
        raise InvalidInput(f"{arn} is not of the account {account}.")
    if await directory.find_service(account, name) is None:
        raise InvalidInput(f"{arn} is of no registered service of the account.")


def policy_holders(arn: str) -> list[str]:
    """The ARNs whose policies hold for a resource: its own, and what it is part of.

    A policy of ``…:order/7`` applies to ``…:order/7/files/a`` too, as a bucket's does
    to its objects.
    """
    found = [arn]
    begin = len(arn) - len(arn.split(":", _ARN_PARTS - 1)[-1])
    end = arn.rfind("/", begin)
    while end > begin:
        found.append(arn[:end])
        end = arn.rfind("/", begin, end)
    return found
