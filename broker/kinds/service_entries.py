"""Registered services as the catalogue describes AWS's."""

from collections.abc import Iterable, Mapping

from broker.model.account import AccountId
from broker.policy.catalogue import AccessLevel, ActionEntry, ResourceType, ServiceEntry
from broker.protocols.enforcement import (
    CompiledService,
    DefinitionRejected,
    parse_definition,
)


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
                resource_types=tuple(types[one] for one in action.resource_types),
                condition_keys=keys,
                dependent_actions=(),
            )
            for name, action in definition.actions.items()
        },
        resource_types=types,
        condition_keys=dict(definition.condition_keys),
    )


def service_entries(
    definitions: Iterable[tuple[str, str]], *, account: AccountId, region: str
) -> Mapping[str, ServiceEntry]:
    """Those of an account that declare actions, by prefix, of names and definitions.

    A definition that was stored by older rules and breaks today's is left out.
    """
    found: dict[str, ServiceEntry] = {}
    for name, text in definitions:
        try:
            definition = parse_definition(text, name)
        except DefinitionRejected:
            continue
        if definition.actions:
            found[name] = service_entry(
                CompiledService(definition, name=name, account=account, region=region)
            )
    return found
