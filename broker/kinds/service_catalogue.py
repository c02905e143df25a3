"""What the registered services of an account add to the catalogue of actions."""

from collections.abc import Iterable, Mapping

from broker.model.account import AccountId
from broker.model.registered import RegisteredService
from broker.policy.catalogue import AccessLevel, ActionEntry, ResourceType, ServiceEntry
from broker.protocols.enforcement import (
    CompiledService,
    DefinitionRejected,
    parse_definition,
)
from broker.stores.directory.kinds import SERVICE
from broker.stores.directory.port import DirectoryReader


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
