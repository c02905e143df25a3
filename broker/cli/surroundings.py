"""What reading a template depends on besides its text, from the settings."""

from broker.federation.addresses import AddressRules
from broker.federation.oidc_options import parse_oidc_options
from broker.federation.saml_options import check_saml_options
from broker.identities.template import Surroundings
from broker.settings import Settings


def surroundings_of(settings: Settings) -> Surroundings:
    """The installation's rules on issuers and on providers' options."""
    named = [entry for entry in settings.internal_issuers if entry.network is None]
    return Surroundings(
        is_internal=AddressRules(settings.internal_issuers).names,
        http_hosts=tuple(f"{entry.host}:{entry.port}" for entry in named),
        check_saml_options=check_saml_options,
        check_oidc_options=parse_oidc_options,
    )
