"""The operator's own settings of an LDAP provider.

They are set under ``Broker:`` in a template or with ``broker providers set``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from broker.federation.group_roles import GroupRoles


@dataclass(frozen=True, slots=True)
class LdapProviderOptions:
    """``SignIn`` offers it on the sign-in page; ``GroupRoles`` are roles by group."""

    sign_in: bool = False
    group_roles: GroupRoles | None = None

    @classmethod
    def parse(cls, options: Mapping[str, object]) -> "LdapProviderOptions":
        """Read a provider's options.

        Raises:
            ValueError: names the option, what is wrong and what to write.
        """
        if "GroupAttribute" in options:
            raise ValueError(
                "GroupAttribute is not an option of LDAP providers; the directory's"
                " GroupName says what groups are known by"
            )
        return cls(
            sign_in=_truth(options, "SignIn"),
            group_roles=GroupRoles.parse(options),
        )


def _truth(options: Mapping[str, object], name: str) -> bool:
    value = options.get(name, False)
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r:.80}; write true or false")  # noqa: TRY004  # the data is at fault
    return value
