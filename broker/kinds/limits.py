"""Quotas: AWS's defaults, adjustable for each account.

Source: IAM FAQ ("How many policies can I attach to an IAM role?", "How many IAM
roles can I create?"); IAM User Guide, "IAM and AWS STS quotas".
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

from broker.errors import LimitExceeded
from broker.model.account import Account


class Quota(StrEnum):
    """The adjustable quotas, by the names that ``Account.quotas`` uses.

    Each with its default: a count of entities, or a size in characters without white
    space.
    """

    default: int

    def __new__(cls, name: str, default: int) -> Self:
        """A name, with its default."""
        member = str.__new__(cls, name)
        member._value_, member.default = name, default
        return member

    ROLES = "RolesPerAccount", 1000
    USERS = "UsersPerAccount", 5000
    GROUPS = "GroupsPerAccount", 300
    GROUPS_PER_USER = "GroupsPerUser", 10
    POLICIES = "PoliciesPerAccount", 1500
    SAML_PROVIDERS = "SAMLProvidersPerAccount", 100
    OIDC_PROVIDERS = "OpenIdConnectProvidersPerAccount", 100
    LDAP_PROVIDERS = "LDAPProvidersPerAccount", 20
    CLIENT_IDS = "ClientIdsPerOpenIdConnectProvider", 100
    POLICIES_PER_ROLE = "PoliciesPerRole", 10
    POLICIES_PER_USER = "PoliciesPerUser", 10
    POLICIES_PER_GROUP = "PoliciesPerGroup", 10
    VERSIONS_PER_POLICY = "VersionsPerPolicy", 5
    ACCESS_KEYS_PER_USER = "AccessKeysPerUser", 2
    MFA_DEVICES = "MFADevicesPerAccount", 40_000
    MFA_DEVICES_PER_USER = "MFADevicesPerUser", 8
    SIGNING_CERTIFICATES_PER_USER = "CertificatesPerUser", 2
    SSH_KEYS_PER_USER = "SSHPublicKeysPerUser", 5
    SERVICE_CREDENTIALS = "ContextSpecificCredentialsPerUserPerContext", 2
    SERVER_CERTIFICATES = "ServerCertificatesPerAccount", 20
    INSTANCE_PROFILES = "InstanceProfilesPerAccount", 1000
    INSTANCES = "InstancesPerAccount", 50_000
    JOIN_TOKENS = "JoinTokensPerAccount", 1000
    SERVICES = "ServicesPerAccount", 100
    SERVICE_TOKENS = "TokensPerService", 10
    TRUST_ANCHORS = "TrustAnchorsPerAccount", 50
    CERTIFICATE_PROFILES = "RolesAnywhereProfilesPerAccount", 250
    CERTIFICATE_LISTS = "CrlsPerTrustAnchor", 2
    SCIM_USERS = "UsersPerDirectory", 20_000
    SCIM_GROUPS = "GroupsPerDirectory", 2000
    SCIM_MEMBERS = "MembersPerDirectoryGroup", 10_000
    SCIM_TOKENS = "TokensPerDirectory", 5
    UPSTREAMS = "UpstreamsPerAccount", 20
    RESOURCE_POLICIES = "ResourcePoliciesPerAccount", 10_000
    RESOURCE_POLICY_SIZE = "ResourcePolicySize", 20_480
    POLICY_SIZE = "PolicySize", 6144
    TRUST_POLICY_SIZE = "ACLSizePerRole", 2048
    ROLE_INLINE_SIZE = "RoleInlinePolicySize", 10_240
    USER_INLINE_SIZE = "UserInlinePolicySize", 2048
    GROUP_INLINE_SIZE = "GroupInlinePolicySize", 5120


DEFAULTS: Mapping[str, int] = {entry.value: entry.default for entry in Quota}


def quota(account: Account, name: Quota) -> int:
    """The account's own value, or the default."""
    return account.quotas.get(name, name.default)


def require_within(account: Account, name: Quota, amount: int) -> None:
    """Refuse an amount above a quota.

    Raises:
        LimitExceeded: ``amount`` is what there would be, and it is too much.
    """
    most = quota(account, name)
    if amount > most:
        raise LimitExceeded(f"Cannot exceed quota for {name}: {most}")


def require_inline_within(
    account: Account, name: Quota, size: int, owner_kind: str, owner_name: str
) -> None:
    """Refuse inline policies that are too large together.

    Raises:
        LimitExceeded: ``size`` is the sum over the owner's inline policies.
    """
    most = quota(account, name)
    if size > most:
        raise LimitExceeded(
            f"Maximum policy size of {most} bytes exceeded for {owner_kind} {owner_name}"
        )


def require_version_room(account: Account, count: int) -> None:
    """Refuse one more version of a managed policy than its quota allows.

    Raises:
        LimitExceeded: there are ``count`` versions already.
    """
    most = quota(account, Quota.VERSIONS_PER_POLICY)
    if count >= most:
        raise LimitExceeded(
            f"A managed policy can have up to {most} versions. Before you create a new "
            "version, you must delete an existing version."
        )
