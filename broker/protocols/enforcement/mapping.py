"""From a request to the action and the resource that it means.

Routes are tried in the order in which they are declared. A service without any counts
as ``execute-api``: ``execute-api:Invoke`` on
``arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/path``.

Source: API Gateway Developer Guide, "Control access for invoking an API".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from broker.protocols.enforcement.definition import (
    Route,
    ServiceDefinition,
    resource_type_of,
)

EXECUTE_API = "execute-api"
ANY_RESOURCE = "*"
RESOURCE_CHARACTERS_MAX = 2048

_ANY_METHOD = "*"
_ARN_PARTS = 6
_SEGMENT = re.compile(r"\{(\w+)(\+?)\}")
_RESOURCE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Target:
    """An action (``orders:GetOrder``) and the ARN of what it is done to."""

    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class _CompiledRoute:
    methods: frozenset[str]
    path: re.Pattern[str]
    action: str
    resource: str


class CompiledService:
    """A definition made ready to map requests."""

    def __init__(
        self, definition: ServiceDefinition, *, name: str, account: str, region: str
    ) -> None:
        self.definition = definition
        self.name = name
        self.account = account
        self.region = definition.region or region
        self.prefix = name if definition.actions or definition.routes else EXECUTE_API
        self.scopes = tuple(definition.scopes) or (self.prefix,)
        self._arn = f"arn:aws:{self.prefix}:{self.region}:{account}:"
        self._actions = frozenset(one.lower() for one in definition.actions)
        self._keys = frozenset(key.lower() for key in definition.condition_keys)
        self._routes = [self._compile(route) for route in definition.routes]

    def find_target(self, method: str, path: str) -> Target | None:
        """What a request means; None when no route knows it."""
        if self.prefix == EXECUTE_API:
            resource = f"{self.name}/{self.definition.stage}/{method}{path}"
            return Target("execute-api:Invoke", self._arn + resource)
        for route in self._routes:
            if method not in route.methods and _ANY_METHOD not in route.methods:
                continue
            match = route.path.fullmatch(path)
            if match is not None:
                return Target(route.action, _fill(route.resource, match.groupdict()))
        return None

    def owns_action(self, action: str) -> bool:
        """Whether an action is one of the service's own, declared if any are."""
        prefix, _, name = action.partition(":")
        if prefix.lower() != self.prefix or not name:
            return False
        return not self._actions or name.lower() in self._actions

    def owns_resource(self, resource: str) -> bool:
        """Whether an ARN is that of a resource of the service."""
        if resource == ANY_RESOURCE:
            return True
        parts = resource.split(":", _ARN_PARTS - 1)
        if len(parts) != _ARN_PARTS or len(resource) > RESOURCE_CHARACTERS_MAX:
            return False
        arn, partition, service, _, account, rest = parts
        if self.prefix == EXECUTE_API and not rest.startswith(f"{self.name}/"):
            return False
        return (
            (arn, partition, service) == ("arn", "aws", self.prefix)
            and account in {"", self.account}
            and bool(rest)
        )

    def may_bring(self, key: str) -> bool:
        """Whether the service may tell the value of a condition key."""
        lower = key.lower()
        return lower in self._keys or f"{lower.partition('/')[0]}/*" in self._keys

    def _compile(self, route: Route) -> _CompiledRoute:
        type_name = resource_type_of(self.definition, route)
        resource = ANY_RESOURCE
        if type_name is not None:
            pattern = self.definition.resource_types[type_name]
            resource = pattern if pattern.startswith("arn:") else self._arn + pattern
        return _CompiledRoute(
            methods=frozenset(route.methods),
            path=_path_pattern(route.path),
            action=f"{self.prefix}:{route.action}",
            resource=resource,
        )


def _path_pattern(path: str) -> re.Pattern[str]:
    segments = []
    for segment in path.split("/"):
        match = _SEGMENT.fullmatch(segment)
        if match is None:
            segments.append(re.escape(segment))
        else:
            segments.append(f"(?P<{match[1]}>{'.+' if match[2] else '[^/]+'})")
    return re.compile("/".join(segments), re.DOTALL)


def _fill(pattern: str, caught: Mapping[str, str]) -> str:
    return _RESOURCE.sub(lambda match: caught[match[1]], pattern)
