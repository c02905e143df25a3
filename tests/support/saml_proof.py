"""Short-hands for tests that hand responses of `saml_idp` to the federation domain."""

from datetime import datetime, timedelta
from typing import Any

from broker.model.account import AccountId
from broker.model.entities import SamlProvider
from broker.model.federated import FederatedIdentity
from broker.proofs.provider_options import ProviderOptions
from broker.proofs.saml import prove_saml
from broker.protocols.saml.metadata import parse_metadata
from tests.support import saml_idp
from tests.support.saml_idp import ACCOUNT, ACS, AUDIENCE, NOW

SKEW = timedelta(seconds=60)
UUID = "SAMLSPAAAABBBBCCCCDDDD"


def saml_provider(**changes: Any) -> SamlProvider:
    """The provider that `saml_idp` signs for."""
    usual: dict[str, Any] = {
        "account": AccountId(ACCOUNT),
        "uuid": UUID,
        "name": "Corp",
        "metadata": saml_idp.metadata_xml(),
        "created_at": NOW,
        "valid_until": NOW + timedelta(days=36_500),
    }
    return SamlProvider(**(usual | changes))


def prove(
    response: str,
    *,
    provider: SamlProvider | None = None,
    now: datetime = NOW,
    **changes: Any,
) -> FederatedIdentity:
    provider = provider or saml_provider()
    return prove_saml(
        response,
        provider=provider,
        options=ProviderOptions.parse(provider.options),
        metadata=parse_metadata(provider.metadata, now=None),
        audiences=frozenset({AUDIENCE}),
        recipients=frozenset({ACS}),
        now=now,
        skew=SKEW,
        **changes,
    )
