"""Registered services: the rules."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial

from msgspec.structs import replace

from broker.errors import InvalidInput
from broker.kinds.kind import finder, require_room
from broker.kinds.limits import Quota
from broker.model.account import Account, AccountId
from broker.model.registered import RegisteredService
from broker.policy.catalogue import AccessLevel, ActionEntry, ResourceType, ServiceEntry
from broker.protocols.enforcement import (
    RESERVED,
    CompiledService,
    DefinitionRejected,
    ServiceDefinition,
    parse_definition,
    parse_new_definition,
)
from broker.protocols.enforcement.mapping import EXECUTE_API
from broker.runtime.entropy import new_unique_id
from broker.stores.directory.kinds import SERVICE
from broker.stores.directory.port import DirectoryChange, DirectoryReader

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


def service_entry(compiled: CompiledService) -> ServiceEntry:
    """The declared actions, resource types and condition keys of a service."""
    definition = compiled.definition
    patterns = compiled.resource_patterns
    keys = tuple(definition.condition_keys)
    types = {name: ResourceType(name, arn, keys) for name, arn in patterns.items()}
    return ServiceEntry(
        prefix=compiled.name,
        name=f"{compiled.name} (registered)",
        actions={
            name.lower(): ActionEntry(
                service=compiled.name,
                name=name,
                level=AccessLevel(action.access_level),
                resource_types=tuple(
                    types[resource_type] for resource_type in action.resource_types
                ),
                condition_keys=keys,
                dependent_actions=(),
            )
            for name, action in definition.actions.items()
        },
        resource_types=types,
        condition_keys=dict(definition.condition_keys),
    )


async def registered_services(
    directory: DirectoryReader, account: AccountId
) -> list[RegisteredService]:
    """An account's services, with their definitions."""
    listed = await directory.all_of(SERVICE, account)
    every = directory.with_documents(SERVICE, listed)
    return [service async for service in every]


def service_entries(
    definitions: Iterable[tuple[str, str]], *, account: AccountId, region: str
) -> Mapping[str, ServiceEntry]:
    """Those of an account that declare actions, by prefix, of names and definitions.

    A definition that was stored by older rules and breaks today's is left out.
    """
    results: dict[str, ServiceEntry] = {}
    for name, text in definitions:
        try:
            definition = parse_definition(text, name)
        except DefinitionRejected:
            continue
        if definition.actions:
            results[name] = service_entry(
                CompiledService(definition, name=name, account=account, region=region)
            )
    return results
