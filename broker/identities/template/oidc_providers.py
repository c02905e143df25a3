"""``OIDCProviders``: the properties of ``AWS::IAM::OIDCProvider``."""

from dataclasses import replace

from broker.errors import BrokerError
from broker.identities.oidc_providers import OIDC_PROVIDERS as RULES
from broker.identities.oidc_providers import (
    checked_issuer_url,
    checked_thumbprints,
    with_issuers,
)
from broker.identities.tags import KeyCase
from broker.identities.template.errors import TemplateError
from broker.identities.template.kind import AccountReading, AccountWork, shown_tags
from broker.identities.template.properties import Properties
from broker.identities.template.section import Described, Members, Section
from broker.model.entities import OidcProvider
from broker.stores.directory.port import DirectoryReader

_SECRET = "ClientSecret"  # noqa: S105  # an option's name


def _parse(properties: Properties, reading: AccountReading) -> Members:
    options = reading.options(properties, OidcProvider)
    url, is_internal = properties.text("Url"), reading.context.is_internal
    thumbprints = properties.texts("ThumbprintList")
    try:
        return {
            "Url": checked_issuer_url(url, reading.account, is_internal),
            "ClientIdList": tuple(dict.fromkeys(properties.texts("ClientIdList"))),
            "ThumbprintList": checked_thumbprints(thumbprints),
            "Tags": properties.tags(KeyCase.SENSITIVE),
            "Broker": options,
        }
    except BrokerError as error:
        raise TemplateError(properties.place, f"{url}: {error}") from error


async def _shown(one: OidcProvider, _directory: DirectoryReader) -> Members:
    # A sealed secret is bound to its provider, and templates contain no secrets.
    options = {name: value for name, value in one.options.items() if name != _SECRET}
    return {
        "Url": one.url,
        "ClientIdList": one.client_ids,
        "ThumbprintList": one.thumbprints,
        "Tags": dict(one.tags),
        "Broker": options,
    }


async def _given(wanted: Members, _work: AccountWork) -> Members:
    tags = shown_tags(wanted["Tags"])
    return {**wanted, "ClientIDList": wanted["ClientIdList"], "Tags": tags}


async def _finish(
    one: OidcProvider, wanted: Members, _work: AccountWork
) -> OidcProvider:
    kept = {name: value for name, value in one.options.items() if name == _SECRET}
    return replace(one, options={**wanted["Broker"], **kept})


def host_and_path(spec: Described) -> str:
    """The part of the URL that must be unique in the account."""
    url: str = spec.properties["Url"]
    return url.partition("://")[2]


OIDC_PROVIDERS = Section(
    section="OIDCProviders",
    of=RULES,
    name="Url",
    parse=_parse,
    shown=_shown,
    given=_given,
    finish=_finish,
    constant=("Url",),
    made_in=lambda context: with_issuers(context.is_internal),
).entity_kind(key=host_and_path, label=host_and_path)
