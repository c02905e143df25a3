"""What to configure at an identity provider, for its page and the command line."""

from collections.abc import Mapping
from typing import Any

from broker.console.sign_in_options import SignInOption, is_offered
from broker.console.sign_out import SIGNED_OUT
from broker.console.signin.oidc_logout import BACK_CHANNEL, FRONT_CHANNEL
from broker.console.signin.oidc_signin import CALLBACK
from broker.console.signin.saml_requests import PER_PROVIDER
from broker.model.entities import OidcProvider, SamlProvider
from broker.proofs.diagnosis import LASSO_ADVICE
from broker.proofs.federated import SamlExpectations
from broker.protocols.saml.attributes import ROLE, ROLE_SESSION_NAME
from broker.protocols.saml.errors import MetadataRejected
from broker.protocols.saml.metadata import parse_metadata
from broker.protocols.saml.sp_metadata import assertion_consumer_url, single_logout_url


def saml_setup(
    provider: SamlProvider, *, origin: str, entity_id: str, expected: SamlExpectations
) -> Mapping[str, Any]:
    """For a SAML provider; ``expected`` is what its assertions are checked against."""
    return {
        "start": _start_of(provider, origin),
        "acs": assertion_consumer_url(origin, provider.uuid),
        "shared_acs": assertion_consumer_url(origin),
        "entity_id": entity_id,
        "metadata": origin + PER_PROVIDER.format(uuid=provider.uuid),
        "slo": single_logout_url(origin, provider.uuid),
        "logs_out": _logs_out(provider),
        "role_attribute": ROLE,
        "role_value": f"arn:aws:iam::{provider.account}:role/NAME,{provider.arn}",
        "name_attribute": ROLE_SESSION_NAME,
        "encryption": provider.encryption_mode.value if provider.private_keys else "",
        "lasso": LASSO_ADVICE,
        "recipients": sorted(expected.recipients),
        "audiences": sorted(expected.audiences),
    }


def oidc_setup(provider: OidcProvider, *, origin: str) -> Mapping[str, Any]:
    """For an OpenID Connect provider."""
    return {
        "issuer": provider.url,
        "audiences": provider.client_ids,
        "redirect": f"{origin}{CALLBACK}",
        "signed_out": f"{origin}{SIGNED_OUT}",
        "back_channel": _channel(origin, BACK_CHANNEL, provider),
        "front_channel": _channel(origin, FRONT_CHANNEL, provider),
        "start": _start_of(provider, origin),
    }


def _logs_out(provider: SamlProvider) -> bool:
    try:
        metadata = parse_metadata(provider.metadata, now=None, legacy_rsa=True)
    except MetadataRejected:
        return False
    return any(entity.slo_endpoints for entity in metadata.descriptors)


def _channel(origin: str, path: str, provider: OidcProvider) -> str:
    return origin + path.format(account=provider.account, provider=provider.unique_id)


def _start_of(provider: SamlProvider | OidcProvider, origin: str) -> str:
    """The URL that starts a sign-in with it; empty unless the operator enabled that."""
    return origin + SignInOption.of(provider).url if is_offered(provider) else ""
