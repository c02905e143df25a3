"""Registered services: the rules."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial

from msgspec.structs import replace

from broker.errors import InvalidInput
from broker.kinds.limits import Quota
from broker.kinds.rules import finder, require_room
from broker.model.account import Account
from broker.model.registered import RegisteredService
from broker.protocols.enforcement import (
    RESERVED,
    DefinitionRejected,
    ServiceDefinition,
    parse_definition,
    parse_new_definition,
)
from broker.protocols.enforcement.mapping import EXECUTE_API
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.kinds import SERVICE
from broker.stores.directory.port import DirectoryChange

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")

require_service = finder(SERVICE, "The service with name {} cannot be found.")


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
