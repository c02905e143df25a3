"""What ``broker serve`` says when it starts: addresses, storage, accounts, warnings."""

from collections.abc import Sequence
from importlib.metadata import version
from socket import socket
from urllib.parse import urlsplit

import structlog

from broker.cli.checks import check_doors, check_settings
from broker.cli.findings import Level
from broker.compose.installation import Installation
from broker.model.account import Account
from broker.settings import Settings
from broker.stores.directory.accounts import list_accounts
from broker.stores.errors import StoreUnavailableError
from broker.stores.urls import redact_url

_log = structlog.get_logger(__name__)
_SHOWN = 10
_DEFAULT_PORTS = {"http": 80, "https": 443}


async def announce(
    opened: Installation, listeners: Sequence[socket], *, workers: int
) -> None:
    """Log how the broker runs, then what should be changed, a line each."""
    settings = opened.settings
    accounts = await list_accounts(opened.stores.directory)
    _log.info(
        "starting",
        version=version("federation-broker"),
        sign_in=f"{settings.public_origin}/signin",
        also_answers_as=list(settings.host_aliases),
        listening=[_address(listener) for listener in listeners],
        workers=workers,
        database=redact_url(settings.database),
        cache=redact_url(settings.redis_url) or "embedded",
        accounts=_named(accounts),
    )
    _log.info(
        "entry points",
        state=[finding.text for finding in await check_doors(opened.stores)],
    )
    for finding in check_settings(settings):
        if finding.level is not Level.GOOD:
            _log.warning(finding.text, remedy=finding.remedy)
    ports = {listener.getsockname()[1] for listener in listeners}
    if wrong := _wrong_port(settings, ports):
        _log.warning(wrong)
    if not accounts:
        _log.warning("there are no accounts", remedy="broker init")
    await _check_cache(opened)


def _named(accounts: Sequence[Account]) -> list[str]:
    """The accounts' numbers and aliases, not all of very many."""
    rows = [
        f"{each.account_id} ({each.alias})" if each.alias else str(each.account_id)
        for each in accounts[:_SHOWN]
    ]
    more = len(accounts) - len(rows)
    return [*rows, f"{more} more"] if more else rows


async def _check_cache(opened: Installation) -> None:
    try:
        await opened.stores.cache.ping()
    except StoreUnavailableError as error:
        _log.error(
            "Redis cannot be reached: API calls work, sign-in pages answer 503 until it"
            " can",
            redis=redact_url(opened.settings.redis_url),
            error=str(error),
            remedy="start it, or fix BROKER_REDIS_URL",
        )


def _wrong_port(settings: Settings, ports: set[int]) -> str:
    """A hint for who moved the broker and not its address."""
    if "public_url" in settings.model_fields_set:
        return ""
    parts = urlsplit(settings.public_origin)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    if port in ports:
        return ""
    return (
        f"browsers and clients are sent to {settings.public_origin}, where the broker does"
        f" not listen; set BROKER_PUBLIC_URL=http://{parts.hostname}:{min(ports)}"
    )


def _address(listener: socket) -> str:
    host, port = listener.getsockname()[:2]
    text = f"[{host}]" if ":" in host else host
    return f"http://{text}:{port}"
