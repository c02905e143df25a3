"""Registered services and their tokens: the rules."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from broker.entropy import new_unique_id
from broker.errors import InvalidInput, NoSuchEntity
from broker.identities.bearer_tokens import (
    check_days,
    delete_expired,
    new_token,
    token_digest,
)
from broker.identities.kind import finder, require_room
from broker.identities.limits import Quota, require_within
from broker.identities.networks import parse_networks
from broker.model.account import Account
from broker.model.registered import RegisteredService, ServiceToken
from broker.model.secret import Secret
from broker.protocols.enforcement import (
    RESERVED,
    DefinitionRejected,
    ServiceDefinition,
    parse_definition,
    parse_new_definition,
)
from broker.protocols.enforcement.mapping import EXECUTE_API
from broker.stores.directory.kinds import SERVICE, SERVICE_TOKEN
from broker.stores.directory.port import DirectoryChange, DirectoryReader

TOKEN_PREFIX = "bst"  # noqa: S105  # how a token begins

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def check_service_name(name: str) -> None:
    """Check the name of a service, which is also the prefix of its actions.

    Raises:
        InvalidInput: it is not allowed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:80]} cannot be a service's name: use 1 to 63 lower-case letters,"
            " digits and hyphens, beginning with a letter."
        )
    if name in RESERVED or name == EXECUTE_API:
        raise InvalidInput(f"{name} is taken: no service of an account can have it.")


def normalize_definition(
    text: str,
    name: str,
    parse: Callable[[str, str], ServiceDefinition] = parse_definition,
) -> str:
    """A definition as it is stored: without what it leaves to the defaults.

    Raises:
        InvalidInput: the name or the definition is not allowed.
    """
    check_service_name(name)
    try:
        definition = parse(text, name)
    except DefinitionRejected as error:
        raise InvalidInput(f"The definition of {name} is refused: {error}.") from error
    stored = definition.model_dump(by_alias=True, exclude_unset=True, mode="json")
    return json.dumps(stored, ensure_ascii=False, separators=(",", ":"))


require_service = finder(SERVICE, "The service with name {} cannot be found.")


async def put_service(
    change: DirectoryChange, account: Account, name: str, text: str, now: datetime
) -> RegisteredService:
    """Register a service, or give it another definition.

    Raises:
        InvalidInput: the name or the definition is not allowed.
        LimitExceeded: the account has as many services as it may have.
    """
    check_service_name(name)
    before = await change.named(SERVICE, account.account_id, name)
    stored = None if before is None else before.definition
    definition = normalize_definition(
        text, name, partial(parse_new_definition, stored=stored)
    )
    if before is not None:
        after = replace(before, definition=definition, updated_at=now)
        await change.update(SERVICE, after)
        return after
    await require_room(change, account, SERVICE, Quota.SERVICES)
    service = RegisteredService(
        account=account.account_id,
        service_id=new_unique_id("ASVC"),
        name=name,
        definition=definition,
        created_at=now,
        updated_at=now,
    )
    await change.insert(SERVICE, service)
    return service


async def tokens_of(
    directory: DirectoryReader, service: RegisteredService
) -> list[ServiceToken]:
    """The tokens of one service, oldest first."""
    tokens = await directory.all_of(SERVICE_TOKEN, service.account)
    return [token for token in tokens if token.service_id == service.service_id]


async def create_token(
    change: DirectoryChange,
    account: Account,
    service: RegisteredService,
    *,
    days: int,
    addresses: Iterable[str],
    now: datetime,
) -> tuple[ServiceToken, Secret]:
    """Make a token, and delete the expired ones.

    The secret is not kept and cannot be shown again. ``days`` is how long it is valid,
    ``addresses`` are the networks it may be used from.

    Raises:
        ValidationError: the lifetime or an address is not allowed.
        LimitExceeded: the service has as many tokens as it may have.
    """
    check_days(days)
    networks = parse_networks(addresses)
    tokens = await tokens_of(change, service)
    left = await delete_expired(tokens, change, SERVICE_TOKEN, now)
    require_within(account, Quota.SERVICE_TOKENS, left + 1)
    secret = new_token(TOKEN_PREFIX, service.account)
    made = ServiceToken(
        account=service.account,
        token_id=new_unique_id("ASVT"),
        service_id=service.service_id,
        digest=token_digest(secret.reveal()),
        created_at=now,
        expires_at=now + timedelta(days=days),
        addresses=networks,
    )
    await change.insert(SERVICE_TOKEN, made)
    return made, secret


async def delete_token(
    change: DirectoryChange, service: RegisteredService, token_id: str
) -> None:
    """Revoke a token.

    Raises:
        NoSuchEntity: the service has none of this id.
    """
    for token in await tokens_of(change, service):
        if token.token_id == token_id:
            await change.remove(SERVICE_TOKEN, token)
            return
    raise NoSuchEntity(f"The service {service.name} has no token {token_id}.")
