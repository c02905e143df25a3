"""A role with an upstream: its console is the upstream's.

The broker fetches the link, with which the browser signs in there; no session of the
broker's own console is opened.
"""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from broker.console.context import ConsoleContext
from broker.federation.upstream_client import KeyPair
from broker.model.account import parse_account_id
from broker.model.arn import Arn
from broker.model.secret import Secret


async def find_upstream_console(
    context: ConsoleContext,
    request: Request,
    role_arn: str,
    credentials: Mapping[str, Any],
) -> Response | None:
    """A page that redirects to the upstream's console; None if the broker mints itself.

    ``credentials`` are those of a mint for the role.

    Raises:
        UpstreamRefused, UpstreamUnavailable: the upstream gave no link.
    """
    if not role_arn:
        return None
    account = parse_account_id(Arn.parse(role_arn).account)
    name = role_arn.rpartition("/")[2]
    role = await context.deps.fresh.find_role(account, name)
    if role is None:
        return None
    keys = KeyPair(
        access_key_id=credentials["AccessKeyId"],
        secret_access_key=Secret(credentials["SecretAccessKey"]),
        session_token=credentials["SessionToken"],
    )
    issuer = f"{context.deps.public_origin}/signin/{account}"
    url = await context.deps.upstreams.console_url(role, keys, issuer)
    if url is None:
        return None
    # A redirect would be one that a form leads to, which pages do not allow.
    return context.pages.show(
        request, "upstream_console.html", url=url, role=name, account=account
    )
