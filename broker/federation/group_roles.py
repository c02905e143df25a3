"""Maps groups of an identity provider to roles, by an operator's table.

For providers that cannot send role ARNs. The table only offers roles: the role's trust
policy still decides, and only roles in the provider's own account count.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from broker.model.account import AccountId
from broker.model.arn import Arn

_DEFAULT_ATTRIBUTE = "groups"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRoles:
    """``roles`` has the role ARNs for each value of ``attribute``."""

    attribute: str
    roles: Mapping[str, tuple[str, ...]]

    @classmethod
    def parse(cls, options: Mapping[str, object]) -> Self | None:
        """Read ``GroupRoles`` and ``GroupAttribute``; None when there is no table.

        Raises:
            ValueError: one of them is malformed; the message names it.
        """
        attribute = options.get("GroupAttribute", _DEFAULT_ATTRIBUTE)
        if not isinstance(attribute, str) or not attribute:
            raise ValueError("GroupAttribute must be the name of a claim or attribute")
        table = options.get("GroupRoles")
        if table is None:
            return None
        if not isinstance(table, Mapping):
            raise ValueError("GroupRoles must map groups to lists of role ARNs")  # noqa: TRY004  # the data is at fault
        return cls(
            attribute=attribute,
            roles={str(group): _role_arns(arns) for group, arns in table.items()},
        )

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


def _role_arns(value: object) -> tuple[str, ...]:
    arns = [value] if isinstance(value, str) else value
    if not isinstance(arns, list | tuple):
        raise ValueError("GroupRoles must map groups to lists of role ARNs")  # noqa: TRY004  # the data is at fault
    for arn in arns:
        if not _is_role_arn(arn):
            raise ValueError(f"GroupRoles has {arn!r:.200}, which is not a role's ARN")
    return tuple(arns)


def _is_role_arn(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        arn = Arn.parse(value)
    except ValueError:
        return False
    return arn.service == "iam" and arn.resource.startswith("role/")
