"""The sections of an account, in the order in which their entities are made."""

from typing import Any

from broker.identities.template.groups import GROUPS
from broker.identities.template.kind import Kind
from broker.identities.template.managed_policies import MANAGED_POLICIES
from broker.identities.template.oidc_providers import OIDC_PROVIDERS
from broker.identities.template.roles import ROLES
from broker.identities.template.saml_providers import SAML_PROVIDERS
from broker.identities.template.users import USERS

KINDS: tuple[Kind[Any], ...] = (
    SAML_PROVIDERS,
    OIDC_PROVIDERS,
    MANAGED_POLICIES,
    GROUPS,
    USERS,
    ROLES,
)
