"""The sections of an account, in the order in which their entities are created."""

from broker.kinds.template.definitions import RESOURCE_POLICIES, SERVICES, UPSTREAMS
from broker.kinds.template.groups import GROUPS
from broker.kinds.template.instance_profiles import INSTANCE_PROFILES
from broker.kinds.template.made_by_calls import SERVER_CERTIFICATES, VIRTUAL_MFA_DEVICES
from broker.kinds.template.managed_policies import MANAGED_POLICIES
from broker.kinds.template.providers import (
    LDAP_PROVIDERS,
    OIDC_PROVIDERS,
    SAML_PROVIDERS,
)
from broker.kinds.template.roles import ROLES
from broker.kinds.template.roles_anywhere import (
    CRL_SECTION,
    PROFILE_SECTION,
    TRUST_ANCHOR_SECTION,
)
from broker.kinds.template.section import Section
from broker.kinds.template.users import USERS

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
