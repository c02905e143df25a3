"""The roles that a verified ID token offers to a person."""

from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.federated import FederatedIdentity


def offered_roles(identity: FederatedIdentity) -> tuple[str, ...]:
    """The roles claim's roles in the provider's account; without one, the groups'."""
    if identity.allowed_roles is None:
        return tuple(sorted(identity.group_roles))
    named = identity.allowed_roles - identity.closed_roles
    return tuple(sorted(arn for arn in named if _is_in(arn, identity.account)))


def _is_in(arn: str, account: AccountId) -> bool:
    try:
        return Arn.parse(arn).account == account
    except ValueError:
        return False
