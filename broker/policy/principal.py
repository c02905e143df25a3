"""Matches principals with ``Principal`` and ``NotPrincipal`` elements.

Source: IAM User Guide, "Principal" and "NotPrincipal"; checklist POL-03, POL-04.
"""

import re
from enum import IntEnum, auto

from msgspec import Struct

from broker.model.principal import Principal, PrincipalType
from broker.policy.document import Principals

KNOWN_ISSUERS = frozenset(
    {
        "cognito-identity.amazonaws.com",
        "www.amazon.com",
        "graph.facebook.com",
        "accounts.google.com",
    }
)
"""The built-in web identity providers: ``Federated`` names them by domain."""

_ACCOUNT = re.compile(r"(?:arn:aws[a-z-]*:iam::)?([0-9]{12})(?::root)?")
_PRINCIPAL_ARN = re.compile(
    r"arn:aws[a-z-]*:(?:iam::[0-9]{12}:(?:user|role)"
    r"|sts::[0-9]{12}:(?:assumed-role/[^/*?]+|federated-user))/[^*?]+"
)
_UNIQUE_ID = re.compile(r"A(?:IDA|ROA)[A-Z0-9]{12,124}")
_PROVIDER_ARN = re.compile(
    r"arn:aws[a-z-]*:iam::[0-9]{12}:(?:saml|oidc|ldap)-provider/[^*?\s]+"
)
_SERVICE = re.compile(r"[a-z0-9][a-z0-9.-]*\.(?:amazonaws\.com(?:\.cn)?|amazon\.com)")
_CANONICAL_USER = re.compile(r"[0-9a-f]{64}")

_UNSIGNED = frozenset(kind for kind in PrincipalType if kind.is_federated)


class PrincipalGrant(IntEnum):
    """How closely a ``Principal`` element names a principal.

    ``ACCOUNT`` only delegates to the account's own policies. ``ROLE`` grants to the
    role, so boundary and session policies restrict it. ``DIRECT`` grants to the user or
    session itself, and only an explicit Deny restricts it.
    """

    NONE = auto()
    ACCOUNT = auto()
    ROLE = auto()
    DIRECT = auto()


def find_account(value: str) -> str | None:
    """The account of ``123456789012`` or ``arn:aws:iam::123456789012:root``."""
    match = _ACCOUNT.fullmatch(value)
    if match is None or value.startswith("arn:") != value.endswith(":root"):
        return None
    return match[1]


def is_aws_principal(value: str) -> bool:
    """Whether ``{"AWS": value}`` is one of the documented forms."""
    return (
        value == "*"
        or find_account(value) is not None
        or _PRINCIPAL_ARN.fullmatch(value) is not None
        or _UNIQUE_ID.fullmatch(value) is not None
    )


def is_federated_principal(value: str) -> bool:
    """Whether ``{"Federated": value}`` is a provider's ARN or a built-in issuer."""
    return value in KNOWN_ISSUERS or _PROVIDER_ARN.fullmatch(value) is not None


def is_service_principal(value: str) -> bool:
    """Whether ``{"Service": value}`` has the form of a service's name."""
    return _SERVICE.fullmatch(value) is not None


def is_canonical_user(value: str) -> bool:
    """Whether ``{"CanonicalUser": value}`` has the form of a canonical user id."""
    return _CANONICAL_USER.fullmatch(value) is not None


class PrincipalTest(Struct, frozen=True):
    """A compiled ``Principal`` or ``NotPrincipal`` element."""

    star: bool
    anyone: bool
    accounts: frozenset[str]
    names: frozenset[str]
    federated: frozenset[str]
    services: frozenset[str]
    excludes: bool
    denies: bool

    @classmethod
    def compile(
        cls, principals: Principals, *, excludes: bool, denies: bool
    ) -> "PrincipalTest":
        """``excludes`` for ``NotPrincipal``, ``denies`` for a Deny statement."""
        accounts = {find_account(value) for value in principals.aws}
        return cls(
            star=principals.anyone or "*" in principals.aws,
            anyone=principals.anyone,
            accounts=frozenset(a for a in accounts if a is not None),
            names=frozenset(principals.aws),
            federated=frozenset(principals.federated),
            services=frozenset(principals.service),
            excludes=excludes,
            denies=denies,
        )

    def grant(self, principal: Principal, *, bounded: bool = False) -> PrincipalGrant:
        """How the element names the principal; NONE when it does not match.

        ``bounded`` says whether the principal has a permissions boundary: a Deny with
        ``NotPrincipal`` exempts none that has.
        """
        if self.excludes:
            exempt = not (bounded and self.denies) and self._is_exempt(principal)
            return PrincipalGrant.NONE if exempt else PrincipalGrant.DIRECT
        grant = self._named(principal)
        if (
            grant is PrincipalGrant.NONE
            and self.denies
            and principal.issuer is not None
        ):
            return self._named(principal.issuer)
        return grant

    def _named(self, principal: Principal) -> PrincipalGrant:  # noqa: PLR0911  # one a kind
        kind = principal.type
        if kind in _UNSIGNED or kind is PrincipalType.SERVICE:
            # "*" does not allow unsigned callers (as recorded in AWS), and {"AWS": "*"}
            # no services. A Deny covers both.
            if (
                principal.federated in self.federated
                or principal.service in self.services
                or (self.star and self.denies)
                or (self.anyone and kind is PrincipalType.SERVICE)
            ):
                return PrincipalGrant.DIRECT
            return PrincipalGrant.NONE
        if self.star:
            return PrincipalGrant.DIRECT
        if kind is PrincipalType.ANONYMOUS:
            return PrincipalGrant.NONE
        names = self.names
        if principal.arn in names and kind is not PrincipalType.ACCOUNT:
            return PrincipalGrant.DIRECT
        if principal.principal_arn in names or (
            principal.unique_id in names and kind is not PrincipalType.ACCOUNT
        ):
            if kind is PrincipalType.ASSUMED_ROLE:
                return PrincipalGrant.ROLE
            if kind is not PrincipalType.ACCOUNT:
                return PrincipalGrant.DIRECT
        return (
            PrincipalGrant.ACCOUNT
            if principal.account in self.accounts
            else PrincipalGrant.NONE
        )

    def _is_exempt(self, principal: Principal) -> bool:
        """Whether ``NotPrincipal`` lists the principal.

        A Deny exempts a principal only if all its identities are listed (account, role
        and session; of a federation token also who made it); an Allow exempts it if any
        is.
        """
        if self.star:
            return True
        kind = principal.type
        if kind in _UNSIGNED:
            return principal.federated in self.federated
        if kind is PrincipalType.SERVICE:
            return principal.service in self.services
        if kind is PrincipalType.ANONYMOUS:
            return False
        listed = [principal.account in self.accounts]
        if kind is not PrincipalType.ACCOUNT:
            listed.append(principal.arn in self.names)
        if kind is PrincipalType.ASSUMED_ROLE:
            listed.append(
                principal.principal_arn in self.names
                or principal.unique_id in self.names
            )
        elif kind is PrincipalType.USER:
            listed[-1] = listed[-1] or principal.unique_id in self.names
        if self.denies and principal.issuer is not None:
            listed.append(self._is_exempt(principal.issuer))
        return all(listed) if self.denies else any(listed)
