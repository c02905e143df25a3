"""From a request to the action and the resource that it means.

Routes are tried in the order in which they are declared. A service without actions
counts as ``execute-api``: ``execute-api:Invoke`` on
``arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/path``.

Source: API Gateway Developer Guide, "Control access for invoking an API".
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct

from broker.protocols.enforcement.definition import (
    Route,
    ServiceDefinition,
    placeholders,
    resource_type_of,
)

EXECUTE_API = "execute-api"
INVOKE = "Invoke"
ANY_RESOURCE = "*"
RESOURCE_CHARACTERS_MAX = 2048

_ANY_METHOD = "*"
_ARN_PARTS = 6
_SEGMENT = re.compile(r"\{(\w+)(\+?)\}")
_RESOURCE = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"[^/:*?\x00-\x1f\x7f]{1,1024}")
"""A name in place of an ARN's placeholder: it can reach no other resource."""


class ActionOnResource(NamedTuple):
    """An action (``orders:GetOrder``) and the ARN of what it is done to."""

    action: str
    resource: str


class _CompiledRoute(Struct, frozen=True):
    """A route; what its path catches is numbered by segments.

    The last of ``size`` segments takes all that is left if it ``takes_rest``.
    """

    methods: frozenset[str]
    size: int
    literals: tuple[tuple[int, str], ...]
    names: tuple[tuple[int, str], ...]
    takes_rest: bool
    action: str
    resource: str
    template: str

    def find(self, segments: list[str]) -> dict[str, str] | None:
        """What the placeholders catch of a path; None if it is not of this route."""
        size = self.size
        if len(segments) != size:
            if not self.takes_rest or len(segments) < size:
                return None
            segments = [*segments[: size - 1], "/".join(segments[size - 1 :])]
        for at, text in self.literals:
            if segments[at] != text:
                return None
        caught = {name: segments[at] for at, name in self.names}
        return caught if all(caught.values()) else None


class CompiledService:
    """A definition made ready to map requests."""

    def __init__(
        self, definition: ServiceDefinition, *, name: str, account: str, region: str
    ) -> None:
        self.definition = definition
        self.name = name
        self.account = account
        self.region = definition.region or region
        self.prefix = name if definition.actions else EXECUTE_API
        self.scopes = tuple(definition.scopes) or (self.prefix,)
        self._arn = f"arn:aws:{self.prefix}:{self.region}:{account}:"
        self._actions = {
            f"{self.prefix}:{action}".lower(): f"{self.prefix}:{action}"
            for action in definition.actions or (INVOKE,)
        }
        keys = definition.condition_keys.items()
        self._keys = {key.lower(): kind for key, kind in keys}
        self._prefixes = (f"{self.prefix}:", f"{name}:")
        self.resource_patterns: Mapping[str, str] = {
            name: pattern if pattern.startswith("arn:") else self._arn + pattern
            for name, pattern in definition.resource_types.items()
        }
        """The ARNs of each resource type, with ``{name}`` for what differs."""
        self._routes = [self._compile(route) for route in definition.routes]

    def find_target(self, method: str, path: str) -> ActionOnResource | None:
        """What a request means; None when no route knows it."""
        if self.prefix == EXECUTE_API:
            resource = f"{self.name}/{self.definition.stage}/{method}{path}"
            return ActionOnResource(f"{EXECUTE_API}:{INVOKE}", self._arn + resource)
        segments = path.split("/")
        for route in self._routes:
            if method not in route.methods and _ANY_METHOD not in route.methods:
                continue
            caught = route.find(segments)
            if caught is not None:
                return ActionOnResource(route.action, route.template % caught)
        return None

    def route_resources(self) -> list[str]:
        """The resource pattern of each route, in their order."""
        return [route.resource for route in self._routes]

    @property
    def every_request(self) -> str:
        """The ARN pattern of all requests to a service that uses execute-api."""
        return f"{self._arn}{self.name}/{self.definition.stage}/*"

    def owns_action(self, action: str) -> bool:
        """Whether an action is one of the service's own, in whatever case."""
        return action.lower() in self._actions

    def spell_action(self, action: str) -> str:
        """One of the service's own actions as it is declared."""
        return self._actions[action.lower()]

    def has_resources(self, action: str) -> bool:
        """Whether one of the service's own actions is done to resources."""
        declared = self.definition.actions.get(action.partition(":")[2])
        return declared is None or bool(declared.resource_types)

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

    def find_resource(self, type_name: str, name: str) -> str | None:
        """The ARN of a resource of a declared type; None if there can be none.

        ``name`` is the ARN itself, or what stands in the place of the pattern's
        placeholder, if it has only one: one segment, as in a route.
        """
        whole = self.resource_patterns.get(type_name)
        if whole is None:
            return None
        if name.startswith("arn:"):
            return name if self.find_type(name) == type_name else None
        caught = placeholders(whole)
        if len(caught) != 1 or not _NAME.fullmatch(name):
            return None
        return _template(whole) % dict.fromkeys(caught, name)

    def find_type(self, arn: str) -> str | None:
        """The declared type of a resource: of those that fit, the most specific."""
        best, text = -1, None
        for name, pattern in self.resource_patterns.items():
            literals = _RESOURCE.sub("\0", pattern).split("\0")
            size = sum(map(len, literals))
            if size > best and _fits(literals, arn):
                best, text = size, name
        return text

    def may_bring(self, key: str) -> bool:
        """Whether the service may tell the value of a condition key.

        Those with its own prefix need no declaration: a Deny on one must count.
        """
        return self.is_own_key(key) or self.find_key_type(key) is not None

    def is_own_key(self, key: str) -> bool:
        """Whether a condition key has the service's prefix."""
        return key.lower().startswith(self._prefixes)

    def find_key_type(self, key: str) -> str | None:
        """The declared type of a condition key; None if it is not declared."""
        lower = key.lower()
        return self._keys.get(lower) or self._keys.get(f"{lower.partition('/')[0]}/*")

    def _compile(self, route: Route) -> _CompiledRoute:
        type_name = resource_type_of(self.definition, route)
        resource = ANY_RESOURCE
        if type_name is not None:
            resource = self.resource_patterns[type_name]
        segments = route.path.split("/")
        matches = [_SEGMENT.fullmatch(segment) for segment in segments]
        named = [(at, match) for at, match in enumerate(matches) if match]
        return _CompiledRoute(
            methods=frozenset(route.methods),
            size=len(segments),
            literals=tuple(
                (at, segment)
                for at, segment in enumerate(segments)
                if matches[at] is None
            ),
            names=tuple((at, match[1]) for at, match in named),
            takes_rest=any(match[2] for _, match in named),
            action=f"{self.prefix}:{route.action}",
            resource=resource,
            template=_template(resource),
        )


def _template(pattern: str) -> str:
    """A pattern as ``%`` fills it in by name."""
    return _RESOURCE.sub(r"%(\1)s", pattern.replace("%", "%%"))


def _fits(literals: list[str], arn: str) -> bool:
    """Whether an ARN has these parts in order, with something in between."""
    first, *rest = literals
    if not rest:
        return arn == first
    if not arn.startswith(first):
        return False
    at = len(first)
    for part in rest[:-1]:
        match = arn.find(part, at + 1)
        if match < 0:
            return False
        at = match + len(part)
    return arn.endswith(rest[-1]) and at < len(arn) - len(rest[-1])
