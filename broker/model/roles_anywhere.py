"""Trust anchors, profiles and revocation lists of IAM Roles Anywhere."""

from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct, field

from broker.model.account import AccountId
from broker.model.secret import Confidential, Hidden


def rolesanywhere_arn(region: str, account: str, kind: str, resource_id: str) -> str:
    """``arn:aws:rolesanywhere:{region}:{account}:{kind}/{resource_id}``."""
    return f"arn:aws:rolesanywhere:{region}:{account}:{kind}/{resource_id}"


class TrustAnchor(Struct, frozen=True, kw_only=True):
    """Certificate authorities (PEM) whose certificates may open roles."""

    account: AccountId
    anchor_id: str
    region: str
    name: str
    certificates: str
    enabled: bool
    created_at: datetime
    updated_at: datetime
    tags: Mapping[str, str] = {}

    @property
    def arn(self) -> str:
        """Its ARN."""
        return rolesanywhere_arn(
            self.region, self.account, "trust-anchor", self.anchor_id
        )


class CertificateProfile(Struct, frozen=True, kw_only=True):
    """Which roles certificates may open, and with what.

    ``attribute_mappings`` are specifiers by field of the certificate
    (``x509Subject``, ``x509Issuer``, ``x509SAN``). ``duration_seconds`` is a session's
    life if the request does not ask for less.
    """

    account: AccountId
    profile_id: str
    region: str
    name: str
    role_arns: tuple[str, ...]
    managed_policy_arns: tuple[str, ...]
    session_policy: str | None
    duration_seconds: int
    accepts_session_name: bool
    attribute_mappings: Mapping[str, tuple[str, ...]]
    enabled: bool
    created_by: str
    created_at: datetime
    updated_at: datetime
    tags: Mapping[str, str] = {}

    @property
    def arn(self) -> str:
        """Its ARN."""
        return rolesanywhere_arn(self.region, self.account, "profile", self.profile_id)


class CertificateList(Confidential, frozen=True, kw_only=True):
    """A certificate revocation list (PEM or DER) of a trust anchor."""

    account: AccountId
    list_id: str
    anchor_id: str
    region: str
    name: str
    data: Hidden[bytes]
    enabled: bool
    created_at: datetime
    updated_at: datetime
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return rolesanywhere_arn(self.region, self.account, "crl", self.list_id)
