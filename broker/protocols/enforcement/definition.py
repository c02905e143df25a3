"""The definition of a registered service: what an account declares of it.

Everything but the hosts has a default: without actions it counts as ``execute-api``.
"""

import json
import re
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic.alias_generators import to_pascal

RESERVED: Final = frozenset(
    {
        "access-analyzer",
        "aws",
        "broker",
        "cloudtrail",
        "iam",
        "rolesanywhere",
        "saml",
        "signin",
        "sso",
        "sso-oauth",
        "sts",
    }
)
"""What the broker answers for itself: a request signed for one of them is for no other.

Keys that begin with ``aws:`` or ``saml:`` come from the broker, too.
"""

DEFINITION_CHARACTERS_MAX = 65_536
_SCOPE = r"^[a-z0-9][a-z0-9-]{0,62}$"
_NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
_REGION = r"^[a-z0-9]+(?:-[a-z0-9]+){0,7}$"
_PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9_]{0,31})\}")
_CAPTURE = re.compile(r"\{([A-Za-z][A-Za-z0-9_]{0,31})(\+?)\}")
_NOT_LITERAL = frozenset("{}*?")

Name = Annotated[str, StringConstraints(pattern=_NAME)]
ScopeName = Annotated[str, StringConstraints(pattern=_SCOPE)]
Method = Annotated[str, StringConstraints(pattern=r"^(?:[A-Z]{1,20}|\*)$")]
HostName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.:\[\]-]{1,255}$")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
KeyName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}:[A-Za-z0-9/_.-]{1,64}\*?$")
]
PayloadDeclaration = Literal[
    "UNSIGNED-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
]


SIGNED_CHUNKS: Final = frozenset(
    {"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"}
)
"""Declarations of chunks that are signed one by one: nobody here can verify them."""

PROBLEMS_MAX = 10

_RESOURCE_KEYS = ("aws:resourcetag/", "aws:requesttag/")


class DefinitionRejected(Exception):
    """The definition is not valid.

    ``problems`` are up to `PROBLEMS_MAX` places with what is wrong there; the text is
    that of the first.
    """

    def __init__(self, *problems: tuple[str, str]) -> None:
        place, message = problems[0]
        super().__init__(f"{place}: {message}" if place else message)
        self.problems = problems


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        alias_generator=to_pascal,
        validate_by_alias=True,
    )


class ServiceAction(_Part):
    """One action: its access level, and the types of resource that it is done to."""

    access_level: Literal["List", "Read", "Tagging", "Write", "Permissions management"]
    resource_types: list[Name] = Field(default=[], max_length=20)


class Route(_Part):
    """Requests that mean an action on a resource.

    A segment of ``path`` is literal, or ``{name}`` for any one segment, or at the end
    ``{name+}`` for all that is left; the resource type's pattern uses what they caught.
    """

    methods: list[Method] = Field(default=["*"], min_length=1, max_length=20)
    path: Text
    action: Name
    resource_type: Name | None = None


class Signature(_Part):
    """How requests for the service are signed.

    ``path``: ``Normalized`` as for all services of AWS but S3, whose clients sign it
    ``AsSent``. ``payloads`` are declarations that count in place of the body's hash.
    """

    path: Literal["Normalized", "AsSent"] = "Normalized"
    payloads: list[PayloadDeclaration] = Field(default=[], max_length=4)
    window_seconds: int = Field(default=300, ge=30, le=900)
    presigned_seconds_max: int = Field(default=900, ge=1, le=604_800)


class ServiceDefinition(_Part):
    """The whole definition.

    ``scopes`` are the services that a request's credential scope may name and
    ``region`` the region (the installation's home region when empty). ``hosts`` are the
    values of ``Host``, with their ports, that requests may be for; empty for any, which
    only services have that were registered before they were required.
    ``resource_types`` maps names to the last part of an ARN, or to a whole ARN where
    it has neither region nor account. ``condition_keys`` are the keys that the service
    may bring, with their types. ``sample_every`` is how many allowed decisions have
    one kept in the audit log.
    """

    scopes: list[ScopeName] = Field(default=[], max_length=10)
    hosts: list[HostName] = Field(default=[], max_length=200)
    region: Annotated[str, StringConstraints(pattern=_REGION, max_length=64)] | None = (
        None
    )
    # Repeated a counted number of times, \w takes megabytes.
    stage: Annotated[str, StringConstraints(pattern=r"^[\w$.-]+$", max_length=64)] = (
        "$default"
    )
    resource_types: dict[Name, Text] = Field(default={}, max_length=50)
    actions: dict[Name, ServiceAction] = Field(default={}, max_length=200)
    condition_keys: dict[
        KeyName,
        Literal["ARN", "Binary", "Bool", "Date", "IPAddress", "Numeric", "String"],
    ] = Field(default={}, max_length=50)
    routes: list[Route] = Field(default=[], max_length=200)
    signature: Signature = Signature()
    sample_every: int = Field(default=1000, ge=1, le=1_000_000_000)


def parse_definition(text: str, name: str) -> ServiceDefinition:
    """Read the definition of the service ``name`` from JSON.

    Raises:
        DefinitionRejected: it breaks a rule.
    """
    if len(text) > DEFINITION_CHARACTERS_MAX:
        raise DefinitionRejected(
            ("", f"is longer than {DEFINITION_CHARACTERS_MAX} characters")
        )
    try:
        definition = ServiceDefinition.model_validate_json(text)
    except ValidationError as error:
        results = error.errors(include_url=False, include_input=False)[:PROBLEMS_MAX]
        raise DefinitionRejected(
            *((".".join(map(str, entry["loc"])), entry["msg"]) for entry in results)
        ) from None
    _check(definition, name)
    return definition


def parse_new_definition(text: str, name: str, stored: str | None) -> ServiceDefinition:
    """Read a definition that is about to be stored, in place of ``stored``.

    What was stored before by other rules goes on as it is.

    Raises:
        DefinitionRejected: it breaks a rule.
    """
    definition = parse_definition(text, name)
    if SIGNED_CHUNKS.intersection(definition.signature.payloads):
        message = (
            "the chunks of such a body are not verified: anything could be sent in"
            " place of what was signed"
        )
        raise DefinitionRejected(("Signature.Payloads", message))
    if not definition.hosts and (stored is None or json.loads(stored).get("Hosts")):
        message = (
            "is required: the values of the Host header, with ports, at which the"
            " service is reached; or a request for another service could be used here"
        )
        raise DefinitionRejected(("Hosts", message))
    return definition


def captures(path: str) -> dict[str, bool]:
    """The names that a route's path catches, and whether each takes all that is left.

    Raises:
        ValueError: the pattern is malformed.
    """
    if not path.startswith("/") or "//" in path:
        raise ValueError("must begin with a slash and have no empty segment")
    results: dict[str, bool] = {}
    segments = path[1:].split("/")
    for number, segment in enumerate(segments):
        if "{" not in segment and "}" not in segment:
            continue
        match = _CAPTURE.fullmatch(segment)
        if match is None:
            raise ValueError(
                f"{segment} is neither literal, nor {{name}}, nor {{name+}}"
            )
        if match[2] and number != len(segments) - 1:
            raise ValueError(f"{segment} must be the last segment")
        if match[1] in results:
            raise ValueError(f"{{{match[1]}}} comes twice")
        results[match[1]] = bool(match[2])
    return results


def placeholders(pattern: str) -> tuple[str, ...]:
    """The names in braces of a resource type's pattern."""
    return tuple(_PLACEHOLDER.findall(pattern))


def resource_type_of(definition: ServiceDefinition, route: Route) -> str | None:
    """The resource type that a route's action is done to; None for no resource.

    Raises:
        ValueError: the route does not name it, and the action has several.
    """
    types = definition.actions[route.action].resource_types
    if route.resource_type is not None:
        if route.resource_type not in types:
            raise ValueError(f"{route.action} has no resource type of this name")
        return route.resource_type
    if len(types) > 1:
        raise ValueError(f"{route.action} has several; the route must name one")
    return types[0] if types else None


def _check(definition: ServiceDefinition, name: str) -> None:
    """What one member says of another."""
    for scope in definition.scopes:
        if scope in RESERVED:
            raise DefinitionRejected(("Scopes", f"{scope} is the broker's own"))
    for type_name, pattern in definition.resource_types.items():
        _check_pattern(pattern, name, f"ResourceTypes.{type_name}")
    for action, about in definition.actions.items():
        for wanted in about.resource_types:
            if wanted not in definition.resource_types:
                raise DefinitionRejected(
                    (f"Actions.{action}", f"there is no resource type {wanted}")
                )
    for key in definition.condition_keys:
        _check_key(key, name)
    for number, route in enumerate(definition.routes):
        _check_route(definition, route, f"Routes.{number}")


def _check_pattern(pattern: str, name: str, place: str) -> None:
    if pattern.startswith("arn:") and not pattern.startswith(f"arn:aws:{name}::"):
        raise DefinitionRejected((place, f"an ARN begins with arn:aws:{name}::"))
    # Else all resources of the type would have one ARN, or others than policies have.
    if "${" in pattern or not _NOT_LITERAL.isdisjoint(_PLACEHOLDER.sub("", pattern)):
        message = (
            "is the ARN of one resource: write {name} for what differs, with letters,"
            " digits and underscores, and no wildcards"
        )
        raise DefinitionRejected((place, message))
    # Else a long path could be multiplied into an ARN of any length.
    names = placeholders(pattern)
    if len(set(names)) < len(names):
        raise DefinitionRejected((place, "a placeholder is repeated"))


def _check_key(key: str, name: str) -> None:
    lower = key.lower()
    of_resource = lower == "aws:tagkeys" or lower.startswith(_RESOURCE_KEYS)
    if not of_resource and not lower.startswith(f"{name}:"):
        message = (
            f"a service may send keys that begin with {name}:, aws:ResourceTag/ or"
            " aws:RequestTag/, and aws:TagKeys; the broker itself sets the others"
        )
        raise DefinitionRejected((f"ConditionKeys.{key}", message))
    if lower.endswith("*") and not lower.endswith("/*"):
        message = "only /* matches any name"
        raise DefinitionRejected((f"ConditionKeys.{key}", message))


def _check_route(definition: ServiceDefinition, route: Route, place: str) -> None:
    if route.action not in definition.actions:
        raise DefinitionRejected((place, f"there is no action {route.action}"))
    try:
        caught = captures(route.path)
        type_name = resource_type_of(definition, route)
    except ValueError as error:
        raise DefinitionRejected((place, str(error))) from None
    pattern = "" if type_name is None else definition.resource_types[type_name]
    missing = [text for text in placeholders(pattern) if text not in caught]
    if missing:
        message = f"the path does not catch {{{missing[0]}}} of {type_name}"
        raise DefinitionRejected((place, message))
