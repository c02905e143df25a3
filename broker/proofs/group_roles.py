"""Maps groups of an identity provider to roles, by an operator's table.

For providers that cannot send role ARNs. A role in the table is for members of its
groups only, whatever its trust policy accepts; for members, the trust policy still
decides. Only roles in the provider's own account count.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.federated import FederatedIdentity


class GroupRoles(Struct, frozen=True, kw_only=True):
    """``roles`` has the role ARNs for each value of ``attribute``."""

    attribute: str
    roles: Mapping[str, tuple[str, ...]]

    def roles_of(self, groups: Iterable[str], account: AccountId) -> tuple[str, ...]:
        """The roles of ``account`` for these groups, each once."""
        return tuple(
            dict.fromkeys(
                arn
                for group in groups
                for arn in self.roles.get(group, ())
                if Arn.parse(arn).account == account
            )
        )

    def apply(self, identity: FederatedIdentity) -> FederatedIdentity:
        """The identity with the roles of its groups, and without all others here."""
        values = self.roles_of(identity.groups, identity.account)
        return replace(
            identity, group_roles=values, closed_roles=self.named.difference(values)
        )

    @property
    def named(self) -> frozenset[str]:
        """The ARNs of all roles in the table."""
        return frozenset(arn for arns in self.roles.values() for arn in arns)


def read_groups(
    table: GroupRoles | None, results: Mapping[str, object]
) -> tuple[str, ...]:
    """The groups in the attributes or claims of a proof; none without a table."""
    said = None if table is None else results.get(table.attribute)
    named = [said] if isinstance(said, str) else said
    if not isinstance(named, list | tuple):
        return ()
    return tuple(group for group in named if isinstance(group, str))


def offered_roles(identity: FederatedIdentity) -> tuple[str, ...]:
    """The roles that a verified ID token offers, in the provider's account.

    Those of its roles claim; without one, those of the groups.
    """
    if identity.allowed_roles is None:
        return tuple(sorted(identity.group_roles))
    named = identity.allowed_roles - identity.closed_roles
    return tuple(sorted(arn for arn in named if _is_in(arn, identity.account)))


def read_table(name: str, value: object) -> Mapping[str, tuple[str, ...]] | None:
    """Read the roles of each group; None when there is no table.

    Raises:
        ValueError: it is malformed; the message names it.
    """
    if value is None:
        return None
    table = value.items() if isinstance(value, Mapping) else [("", None)]
    return {str(group): _role_arns(name, arns) for group, arns in table}


def _role_arns(name: str, value: object) -> tuple[str, ...]:
    arns = [value] if isinstance(value, str) else value
    if not isinstance(arns, list | tuple):
        raise ValueError(f"{name} must map groups to lists of role ARNs")  # noqa: TRY004  # the data is at fault
    for arn in arns:
        if not _is_role_arn(arn):
            raise ValueError(f"{name} has {arn!r:.200}, which is not a role's ARN")
    return tuple(arns)


def _is_in(arn: str, account: AccountId) -> bool:
    try:
        return Arn.parse(arn).account == account
    except ValueError:
        return False


def _is_role_arn(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        arn = Arn.parse(value)
    except ValueError:
        return False
    return arn.service == "iam" and arn.resource.startswith("role/")
