"""The sections of an account, in the order in which their entities are created."""

from broker.identities.template.definitions import (
    RESOURCE_POLICIES,
    SERVICES,
    UPSTREAMS,
)
from broker.identities.template.groups import GROUPS
from broker.identities.template.instance_profiles import INSTANCE_PROFILES
from broker.identities.template.ldap_providers import LDAP_PROVIDERS
from broker.identities.template.managed_policies import MANAGED_POLICIES
from broker.identities.template.mfa_devices import VIRTUAL_MFA_DEVICES
from broker.identities.template.oidc_providers import OIDC_PROVIDERS
from broker.identities.template.roles import ROLES
from broker.identities.template.roles_anywhere import (
    CRL_SECTION,
    PROFILE_SECTION,
    TRUST_ANCHOR_SECTION,
)
from broker.identities.template.saml_providers import SAML_PROVIDERS
from broker.identities.template.section import Section
from broker.identities.template.server_certificates import SERVER_CERTIFICATES
from broker.identities.template.users import USERS

KINDS: tuple[Section, ...] = (
    SAML_PROVIDERS,
    OIDC_PROVIDERS,
    LDAP_PROVIDERS,
    MANAGED_POLICIES,
    GROUPS,
    USERS,
    ROLES,
    INSTANCE_PROFILES,
    SERVER_CERTIFICATES,
    VIRTUAL_MFA_DEVICES,
    SERVICES,
    UPSTREAMS,
    RESOURCE_POLICIES,
    TRUST_ANCHOR_SECTION,
    PROFILE_SECTION,
    CRL_SECTION,
)
