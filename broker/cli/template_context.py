"""The context for reading a template, from the settings."""

from collections.abc import Collection, Mapping
from functools import partial

from broker.federation.addresses import AddressRules
from broker.federation.ldap.options import LdapProviderOptions
from broker.federation.oidc_options import check_oidc_options
from broker.federation.provider_options import (
    LDAP_OPTIONS,
    OIDC_OPTIONS,
    SAML_OPTIONS,
    SECRET,
)
from broker.federation.saml_options import check_saml_options
from broker.identities.template.kind import TemplateContext
from broker.settings import Settings
from broker.spelling import suggest


def template_context(settings: Settings) -> TemplateContext:
    """The installation's rules on issuers and on providers' options."""
    named = [entry for entry in settings.internal_issuers if entry.network is None]
    return TemplateContext(
        is_internal=AddressRules(settings.internal_issuers).names,
        home_region=settings.home_region,
        http_hosts=tuple(f"{entry.host}:{entry.port}" for entry in named),
        check_saml_options=_check_saml,
        check_oidc_options=_check_oidc,
        check_ldap_provider=partial(_check_ldap, settings),
    )


def _check_saml(options: Mapping[str, object]) -> None:
    _require_known(options, SAML_OPTIONS)
    check_saml_options(options)


def _check_oidc(options: Mapping[str, object]) -> None:
    if SECRET in options:
        raise ValueError(
            f"{SECRET} cannot be in a template: set it with broker providers set ARN"
            f" {SECRET}=@FILE"
        )
    _require_known(options, OIDC_OPTIONS)
    check_oidc_options(options)


def _check_ldap(
    settings: Settings, directory: str, options: Mapping[str, object]
) -> None:
    known = settings.directories.directories
    if directory not in known:
        raise ValueError(
            f"BROKER_DIRECTORIES_FILE has no directory {directory!r}; "
            + (suggest(directory, known) if known else "it is not set")
        )
    _require_known(options, LDAP_OPTIONS)
    LdapProviderOptions.parse(options)


def _require_known(options: Mapping[str, object], known: Collection[str]) -> None:
    for name in options:
        if name not in known:
            raise ValueError(f"{name} is not an option; {suggest(name, known)}")
