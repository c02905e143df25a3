"""``OIDCProviders``: the properties of ``AWS::IAM::OIDCProvider``."""

from collections.abc import Sequence
from dataclasses import replace

from broker.errors import BrokerError
from broker.kinds.oidc_providers import OIDC_PROVIDERS as RULES
from broker.kinds.oidc_providers import (
    checked_issuer_url,
    checked_thumbprints,
    with_issuers,
)
from broker.kinds.template.errors import TemplateError
from broker.kinds.template.kind import AccountReading, AccountWork
from broker.kinds.template.properties import Properties
from broker.kinds.template.section import Members, Section
from broker.model.entities import OidcProvider
from broker.stores.directory.port import DirectoryReader

_SECRET = "ClientSecret"  # noqa: S105  # an option's name


def _settle(found: Members, given: Properties, reading: AccountReading) -> Members:
    reading.check_options(given.place, found["Broker"], OidcProvider)
    url, thumbprints = found["Url"], found["ThumbprintList"]
    try:
        url = checked_issuer_url(url, reading.account, reading.context.is_internal)
        thumbprints = list(checked_thumbprints(thumbprints))
    except BrokerError as error:
        raise TemplateError(given.place, f"{url}: {error}") from error
    return {**found, "Url": url, "ThumbprintList": thumbprints}


async def _further(
    page: Sequence[OidcProvider], _directory: DirectoryReader
) -> list[Members]:
    # A sealed secret is bound to its provider, and templates contain no secrets.
    return [
        {
            "Url": one.url,
            "Broker": {
                name: value for name, value in one.options.items() if name != _SECRET
            },
        }
        for one in page
    ]


async def _finish(
    one: OidcProvider, _before: Members, wanted: Members, _work: AccountWork
) -> OidcProvider:
    kept = {name: value for name, value in one.options.items() if name == _SECRET}
    return replace(one, options={**wanted["Broker"], **kept})


def host_and_path(properties: Members) -> str:
    """The part of the URL that must be unique in the account."""
    url: str = properties["Url"]
    return url.partition("://")[2]


OIDC_PROVIDERS = Section(
    section="OIDCProviders",
    of=RULES,
    name="Url",
    reads={
        "Url": Properties.text,
        "ClientIdList": Properties.distinct,
        "ThumbprintList": Properties.texts,
        "Tags": Properties.tags,
        "Broker": Properties.mapping,
    },
    members={"ClientIdList": "ClientIDList"},
    settle=_settle,
    further=_further,
    finish=_finish,
    constant=("Url",),
    made_in=lambda context: with_issuers(context.is_internal),
    keyed_by=host_and_path,
    called=host_and_path,
)
