"""*Options of a provider*: the broker-only ones, where the operator allows it."""

from starlette.responses import Response

from broker.actions.signin.identity_providers import OIDC_KIND, kind_of
from broker.administration import providers
from broker.administration.provider_page import require_arn
from broker.administration.providers import name_of
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import AccessDenied
from broker.federation.provider_options import GROUPS, OPTIONS_OF, SECRET
from broker.model.entities import OidcProvider, SamlProvider

PATH = "/console/providers/options"


async def _page(visit: Visit) -> Response:
    arn = require_arn(visit)
    known = OPTIONS_OF[OidcProvider if kind_of(arn) == OIDC_KIND else SamlProvider]
    values = {name: visit.text(name) for name in known}
    if visit.posted:
        with visit.attempt(providers.describe_error):
            await visit.perform(
                "signin", "SetProviderOptions", ProviderArn=arn, Options=values
            )
            return visit.done("Options saved.", providers.ONE, arn=arn)
    found = await visit.perform("signin", "GetProviderOptions", ProviderArn=arn)
    if found["Options"] is None:
        raise AccessDenied(
            "The operator has not let this account set its providers' options in the"
            " console. They can be set with “broker providers set”."
        )
    shown = found["Options"]
    if visit.refusal is not None:
        # A secret is not sent back to be corrected.
        shown = {**values, SECRET: shown.get(SECRET, "")}
    return await visit.show(
        "admin/provider_options.html",
        arn=arn,
        name=name_of(arn),
        groups={
            title: [one for one in known.values() if one.place.group == title]
            for title in GROUPS
        },
        values=shown,
    )


PAGES = (PageRoute(PATH, providers.HERE, _page, BOTH, long=True),)
