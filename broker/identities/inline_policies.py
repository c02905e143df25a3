"""Inline policies of users, roles and groups, by names without regard to case."""

from collections.abc import Sequence

from broker.errors import NoSuchEntity
from broker.identities.documents import checked_document
from broker.identities.limits import require_inline_within
from broker.identities.owners import Owner, kind_of, owner_id
from broker.model.account import Account
from broker.model.entities import InlinePolicy
from broker.policy import PolicyKind, policy_size
from broker.stores.directory import policies
from broker.stores.directory.policies import list_inline_policies
from broker.stores.directory.port import DirectoryChange, DirectoryReader


async def put_inline_policy(
    change: DirectoryChange, account: Account, owner: Owner, name: str, document: str
) -> None:
    """Embed a policy, or replace the one of that name, which keeps its own case.

    Raises:
        MalformedPolicyDocument: the document is refused.
        LimitExceeded: all inline policies together would be too large.
    """
    kind = kind_of(owner)
    others = await list_inline_policies(change, owner.account, owner_id(owner))
    replaced = _named(others, name)
    size = policy_size(document) + sum(
        policy_size(policy.document) for policy in others if policy is not replaced
    )
    # Check the size first: only a document that is too large takes long to parse.
    require_inline_within(account, kind.inline_size, size, kind.noun, owner.name)
    checked_document(document, PolicyKind.IDENTITY)
    await policies.put_inline_policy(
        change,
        InlinePolicy(
            account=owner.account,
            owner_id=owner_id(owner),
            name=name if replaced is None else replaced.name,
            document=document,
        ),
    )


async def require_inline_policy(
    directory: DirectoryReader, owner: Owner, name: str
) -> InlinePolicy:
    """An inline policy by name.

    Raises:
        NoSuchEntity: the owner has none of that name.
    """
    policies = await list_inline_policies(directory, owner.account, owner_id(owner))
    policy = _named(policies, name)
    if policy is None:
        raise NoSuchEntity(
            f"The {kind_of(owner).noun} policy with name {name} cannot be found."
        )
    return policy


async def delete_inline_policy(
    change: DirectoryChange, owner: Owner, name: str
) -> None:
    """Remove an inline policy.

    Raises:
        NoSuchEntity: the owner has none of that name.
    """
    policy = await require_inline_policy(change, owner, name)
    await policies.delete_inline_policy(
        change, owner.account, owner_id(owner), policy.name
    )


def _named(policies: Sequence[InlinePolicy], name: str) -> InlinePolicy | None:
    """The policy of a name; one in the same case comes first."""
    same = [policy for policy in policies if policy.name.lower() == name.lower()]
    return next((p for p in same if p.name == name), same[0] if same else None)
