"""The packed catalogue: one line of JSON for each service, parsed on first use.

The file is small (a fifth of a megabyte) and so is what stays in memory: the lines, and
the services that were used.
"""

import gzip
import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from msgspec import Struct

from broker.runtime.bounded import remembered

FILE_NAME = "actions.jsonl.gz"
"""Each line is ``prefix``, a tab, and the service as `reduce` writes it."""


class AccessLevel(StrEnum):
    """What an action does, in AWS's words."""

    LIST = "List"
    READ = "Read"
    WRITE = "Write"
    PERMISSIONS = "Permissions management"
    TAGGING = "Tagging"


LEVELS = tuple(AccessLevel)
"""The order in which the packed file numbers them."""


class ResourceType(Struct, frozen=True):
    """A kind of resource; ``arn`` is a template with ``${Partition}`` and the like."""

    name: str
    arn: str
    condition_keys: tuple[str, ...]


class ActionEntry(Struct, frozen=True, kw_only=True):
    """One action; tag keys among the condition keys end in ``/${TagKey}``.

    ``dependent_actions`` are further permissions that a call needs.
    """

    service: str
    name: str
    level: AccessLevel
    resource_types: tuple[ResourceType, ...]
    condition_keys: tuple[str, ...]
    dependent_actions: tuple[str, ...]


class ServiceEntry(Struct, frozen=True, kw_only=True):
    """One service and its actions, by lower-case name.

    ``condition_keys`` maps the service's own and the global keys that it documents
    to their types.
    """

    prefix: str
    name: str
    actions: Mapping[str, ActionEntry]
    resource_types: Mapping[str, ResourceType]
    condition_keys: Mapping[str, str]


def service_prefixes() -> tuple[str, ...]:
    """The prefixes of all services, sorted: ``iam``, ``s3`` and so on."""
    return tuple(sorted(_lines()))


def find_service(prefix: str) -> ServiceEntry | None:
    """A service by its prefix, in lower case; None when there is none."""
    # Only existing services are cached, since prefixes come from callers.
    return _read(prefix) if prefix in _lines() else None


@remembered()
def _read(prefix: str) -> ServiceEntry:
    packed = json.loads(_lines()[prefix])
    keys: list[list[str]] = packed["c"]
    types = [
        ResourceType(name, arn, tuple(keys[i][0] for i in own))
        for name, arn, own in packed["r"]
    ]
    actions = {
        name.lower(): ActionEntry(
            service=prefix,
            name=name,
            level=LEVELS[level],
            resource_types=tuple(types[i] for i in used),
            condition_keys=tuple(keys[i][0] for i in own),
            dependent_actions=tuple(dependent),
        )
        for name, (level, used, own, dependent) in packed["a"].items()
    }
    return ServiceEntry(
        prefix=prefix,
        name=packed["n"],
        actions=MappingProxyType(actions),
        resource_types=MappingProxyType({kind.name: kind for kind in types}),
        condition_keys=MappingProxyType(dict(keys)),
    )


@cache
def _lines() -> Mapping[str, bytes]:
    data = (files("broker.policy.catalogue") / FILE_NAME).read_bytes()
    lines = gzip.decompress(data).splitlines()
    cut = (line.partition(b"\t") for line in lines)
    return {prefix.decode(): packed for prefix, _, packed in cut}
