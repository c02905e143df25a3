"""Which providers a sign-in can begin with at the broker."""

from broker.federation.ldap.options import LdapProviderOptions
from broker.federation.oidc_options import parse_oidc_options
from broker.federation.provider_options import Provider
from broker.federation.saml_options import SamlProviderOptions
from broker.model.entities import LdapProvider, OidcProvider, SamlProvider


def begins_here(provider: Provider) -> bool:
    """Whether the operator has enabled it: by ``SignIn``, or by ``ClientId``."""
    match provider:
        case SamlProvider():
            return SamlProviderOptions.parse(provider.options).sign_in
        case LdapProvider():
            return LdapProviderOptions.parse(provider.options).sign_in
        case OidcProvider():
            return bool(parse_oidc_options(provider.options).client_id)
