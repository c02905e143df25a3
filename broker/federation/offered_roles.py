"""The roles that a verified ID token offers to a person."""

from broker.federation.oidc_options import OidcProviderOptions
from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.federated import FederatedIdentity


def offered_roles(
    identity: FederatedIdentity, options: OidcProviderOptions
) -> tuple[str, ...]:
    """The roles claim's roles in the provider's account; without one, the table's."""
    if identity.allowed_roles is not None:
        return tuple(
            sorted(
                arn for arn in identity.allowed_roles if _is_in(arn, identity.account)
            )
        )
    if options.group_roles is None:
        return ()
    groups: object = identity.claims.get(options.group_roles.attribute)
    if identity.directory_groups is not None:
        groups = list(identity.directory_groups)
    named = [groups] if isinstance(groups, str) else groups
    if not isinstance(named, list):
        return ()
    texts = (group for group in named if isinstance(group, str))
    return tuple(sorted(options.group_roles.roles_of(texts, identity.account)))


def _is_in(arn: str, account: AccountId) -> bool:
    try:
        return Arn.parse(arn).account == account
    except ValueError:
        return False
