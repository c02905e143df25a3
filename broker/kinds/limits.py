"""Quotas: AWS's defaults, adjustable for each account.

Source: IAM FAQ ("How many policies can I attach to an IAM role?", "How many IAM
roles can I create?"); IAM User Guide, "IAM and AWS STS quotas".
"""

from collections.abc import Mapping
from enum import StrEnum

from broker.errors import LimitExceeded
from broker.model.account import Account


class Quota(StrEnum):
    """The adjustable quotas, by the names that ``Account.quotas`` uses."""

    ROLES = "RolesPerAccount"
    USERS = "UsersPerAccount"
    GROUPS = "GroupsPerAccount"
    GROUPS_PER_USER = "GroupsPerUser"
    POLICIES = "PoliciesPerAccount"
    SAML_PROVIDERS = "SAMLProvidersPerAccount"
    OIDC_PROVIDERS = "OpenIdConnectProvidersPerAccount"
    LDAP_PROVIDERS = "LDAPProvidersPerAccount"
    CLIENT_IDS = "ClientIdsPerOpenIdConnectProvider"
    POLICIES_PER_ROLE = "PoliciesPerRole"
    POLICIES_PER_USER = "PoliciesPerUser"
    POLICIES_PER_GROUP = "PoliciesPerGroup"
    VERSIONS_PER_POLICY = "VersionsPerPolicy"
    ACCESS_KEYS_PER_USER = "AccessKeysPerUser"
    MFA_DEVICES = "MFADevicesPerAccount"
    MFA_DEVICES_PER_USER = "MFADevicesPerUser"
    SIGNING_CERTIFICATES_PER_USER = "CertificatesPerUser"
    SSH_KEYS_PER_USER = "SSHPublicKeysPerUser"
    SERVICE_CREDENTIALS = "ContextSpecificCredentialsPerUserPerContext"
    SERVER_CERTIFICATES = "ServerCertificatesPerAccount"
    INSTANCE_PROFILES = "InstanceProfilesPerAccount"
    INSTANCES = "InstancesPerAccount"
    JOIN_TOKENS = "JoinTokensPerAccount"
    SERVICES = "ServicesPerAccount"
    SERVICE_TOKENS = "TokensPerService"
    TRUST_ANCHORS = "TrustAnchorsPerAccount"
    CERTIFICATE_PROFILES = "RolesAnywhereProfilesPerAccount"
    CERTIFICATE_LISTS = "CrlsPerTrustAnchor"
    SCIM_USERS = "UsersPerDirectory"
    SCIM_GROUPS = "GroupsPerDirectory"
    SCIM_MEMBERS = "MembersPerDirectoryGroup"
    SCIM_TOKENS = "TokensPerDirectory"
    UPSTREAMS = "UpstreamsPerAccount"
    RESOURCE_POLICIES = "ResourcePoliciesPerAccount"
    RESOURCE_POLICY_SIZE = "ResourcePolicySize"
    POLICY_SIZE = "PolicySize"
    TRUST_POLICY_SIZE = "ACLSizePerRole"
    ROLE_INLINE_SIZE = "RoleInlinePolicySize"
    USER_INLINE_SIZE = "UserInlinePolicySize"
    GROUP_INLINE_SIZE = "GroupInlinePolicySize"


DEFAULTS: Mapping[str, int] = {
    Quota.ROLES: 1000,
    Quota.USERS: 5000,
    Quota.GROUPS: 300,
    Quota.GROUPS_PER_USER: 10,
    Quota.POLICIES: 1500,
    Quota.SAML_PROVIDERS: 100,
    Quota.OIDC_PROVIDERS: 100,
    Quota.LDAP_PROVIDERS: 20,
    Quota.CLIENT_IDS: 100,
    Quota.POLICIES_PER_ROLE: 10,
    Quota.POLICIES_PER_USER: 10,
    Quota.POLICIES_PER_GROUP: 10,
    Quota.VERSIONS_PER_POLICY: 5,
    Quota.ACCESS_KEYS_PER_USER: 2,
    Quota.MFA_DEVICES: 40_000,
    Quota.MFA_DEVICES_PER_USER: 8,
    Quota.SIGNING_CERTIFICATES_PER_USER: 2,
    Quota.SSH_KEYS_PER_USER: 5,
    Quota.SERVICE_CREDENTIALS: 2,
    Quota.SERVER_CERTIFICATES: 20,
    Quota.INSTANCE_PROFILES: 1000,
    Quota.INSTANCES: 50_000,
    Quota.JOIN_TOKENS: 1000,
    Quota.SERVICES: 100,
    Quota.SERVICE_TOKENS: 10,
    Quota.TRUST_ANCHORS: 50,
    Quota.CERTIFICATE_PROFILES: 250,
    Quota.CERTIFICATE_LISTS: 2,
    Quota.SCIM_USERS: 20_000,
    Quota.SCIM_GROUPS: 2000,
    Quota.SCIM_MEMBERS: 10_000,
    Quota.SCIM_TOKENS: 5,
    Quota.UPSTREAMS: 20,
    Quota.RESOURCE_POLICIES: 10_000,
    Quota.RESOURCE_POLICY_SIZE: 20_480,
    Quota.POLICY_SIZE: 6144,
    Quota.TRUST_POLICY_SIZE: 2048,
    Quota.ROLE_INLINE_SIZE: 10_240,
    Quota.USER_INLINE_SIZE: 2048,
    Quota.GROUP_INLINE_SIZE: 5120,
}
"""Counts of entities; sizes in characters without white space."""


def quota(account: Account, name: Quota) -> int:
    """The account's own value, or the default."""
    return account.quotas.get(name, DEFAULTS[name])


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
