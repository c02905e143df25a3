"""IAM's actions: one module per resource, one row per action.

`declare` defines the rows, `targets` what actions act on, `views` how answers show
entities, `paging` how lists are paged. The rules themselves are in `broker.kinds`.
"""

from collections.abc import Collection

from broker.actions.action import Action
from broker.actions.iam.access_keys import access_key_actions
from broker.actions.iam.account import ACCOUNT_ALIASES, ACCOUNT_PROPERTIES, STS_REGIONS
from broker.actions.iam.account_reports import ACCOUNT_REPORTS
from broker.actions.iam.authorization_details import AUTHORIZATION_DETAILS
from broker.actions.iam.last_accessed import LAST_ACCESSED
from broker.actions.iam.mfa_devices import mfa_device_actions
from broker.actions.iam.outside_organization import OUTSIDE_ORGANIZATION
from broker.actions.iam.owners import OWNED_POLICIES
from broker.actions.iam.passwords import password_actions
from broker.actions.iam.policies import POLICIES
from broker.actions.iam.policy_entities import POLICY_ENTITIES
from broker.actions.iam.providers import oidc_provider_actions, saml_provider_actions
from broker.actions.iam.roles import (
    INSTANCE_PROFILES,
    ROLES,
    SERVICE_LINKED_ROLES,
    protecting,
)
from broker.actions.iam.server_certificates import server_certificate_actions
from broker.actions.iam.simulation import SIMULATION
from broker.actions.iam.user_credentials import user_credential_actions
from broker.actions.iam.users import GROUPS, USERS
from broker.kinds.providers import IsInternal
from broker.model.sealing import SealerOpener
from broker.proofs.attempts import Attempts


def iam_actions(
    sealer: SealerOpener,
    is_internal: IsInternal,
    attempts: Attempts,
    *,
    metadata_http_hosts: Collection[str],
) -> tuple[Action, ...]:
    """Every IAM action that the broker has.

    ``sealer`` keeps secret keys and private keys, ``attempts`` counts guesses.
    ``is_internal`` says whether the operator lists a host and port for an account, so
    that an issuer there may have plain http and a port; ``metadata_http_hosts`` does
    the same for the endpoints in SAML metadata.
    """
    return (
        *protecting(ROLES),
        *USERS,
        *GROUPS,
        *protecting(OWNED_POLICIES),
        *POLICIES,
        *POLICY_ENTITIES,
        *access_key_actions(sealer),
        *mfa_device_actions(sealer, attempts),
        *user_credential_actions(sealer),
        *server_certificate_actions(sealer),
        *password_actions(sealer, attempts),
        *saml_provider_actions(sealer, metadata_http_hosts),
        *oidc_provider_actions(is_internal),
        *protecting(INSTANCE_PROFILES),
        *SERVICE_LINKED_ROLES,
        *ACCOUNT_ALIASES,
        *SIMULATION,
        *ACCOUNT_REPORTS,
        *OUTSIDE_ORGANIZATION,
        *ACCOUNT_PROPERTIES,
        *AUTHORIZATION_DETAILS,
        *LAST_ACCESSED,
        *STS_REGIONS,
    )
