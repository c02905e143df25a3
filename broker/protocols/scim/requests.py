"""Reads what a client of SCIM sends: bodies, patches and queries, each within bounds."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from msgspec import Struct, field
from pydantic import ValidationError
from scim2_models import (
    Context,
    Error,
    PatchOp,
    Path,
    Resource,
    ResponseParameters,
    SCIMException,
)

from broker.model.strict_json import parse_value
from broker.protocols.scim.filters import FilterCondition, read_filter
from broker.protocols.scim.resources import (
    POLICY,
    Group,
    Member,
    ScimRejected,
    User,
    is_text,
)

AnyResource = TypeVar("AnyResource", bound=Resource[Any])

BODY_BYTES_MAX = 1_000_000
OPERATIONS_MAX = 50
MEMBERS_MAX = 1000
"""Of a group, named in one request."""

PAGE_MAX = 100
"""Resources in one answer."""

_VALUES_MAX = 10_000
"""In a body: about so many commas."""

_PATH_CHARACTERS_MAX = 1000
_QUERY_BYTES_MAX = 16_384
_FIELDS_MAX = 20
_NAMES_CHARACTERS_MAX = 2000
_NUMBER = re.compile(r"-?[0-9]{1,8}", re.ASCII)
_GROUP = str(Group.__schema__).lower()
_NOISE = re.compile(r"^\d+ validation errors? for \w+|\[type=.*", re.DOTALL)
"""What a validation error says for programmers."""

_ASSIGNED = frozenset({"id", "meta", "groups", "password"})
"""Members that only the broker sets, and the one that is never kept."""


class Listing(Struct, frozen=True, kw_only=True):
    """A query: which resources, from which on, and which of their attributes.

    ``start`` counts from 1; ``projection`` is what is shown of each, None for all.
    """

    conditions: tuple[FilterCondition, ...] = ()
    start: int = 1
    count: int = PAGE_MAX
    projection: ResponseParameters[Any] | None = None

    def shows(self, name: str) -> bool:
        """Whether an attribute that is shown by default is to be shown."""
        if self.projection is None:
            return True
        asked = self.projection.attributes
        if asked:
            return name in {_attribute(path) for path in asked}
        excluded = self.projection.excluded_attributes or ()
        return name not in {_attribute(path) for path in excluded}


def _attribute(path: object) -> str:
    """The first name of an attribute's path, in lower case and without its schema."""
    return str(path).rpartition(":")[2].partition(".")[0].lower()


class MemberChanges(Struct, frozen=True, kw_only=True):
    """What becomes of a group's members, step by step.

    Each step is the ids that are added and those that are removed; None removes all.
    """

    steps: tuple[tuple[tuple[str, ...], tuple[str, ...] | None], ...] = ()


class GroupPatch(Struct, frozen=True, kw_only=True):
    """A patch of a group, its members apart: a group may have many of them."""

    patch: PatchOp[Group] | None
    members: MemberChanges = field(default_factory=MemberChanges)


@contextmanager
def rejecting() -> Iterator[None]:
    """Turn what `scim2-models` refuses into `ScimRejected`, under `POLICY`."""
    try:
        with POLICY:
            yield
    except ValidationError as error:
        first = Error.from_validation_errors(error)[0]
        raise ScimRejected(
            (first.detail or "The request is malformed.")[:1000], first.scim_type or ""
        ) from None
    except SCIMException as error:
        words = " ".join(_NOISE.sub("", error.detail).split())
        raise ScimRejected(words[:1000], error.scim_type, status=error.status) from None


def read_user(body: bytes, *, replaces: bool = False) -> User:
    """A user to create, or to put in the place of one.

    Raises:
        ScimRejected: it is malformed.
    """
    return _read(User, body, replaces=replaces)


def read_group(body: bytes, *, replaces: bool = False) -> Group:
    """A group to create, or to put in the place of one.

    Raises:
        ScimRejected: it is malformed.
    """
    group = _read(Group, body, replaces=replaces)
    _member_ids(group.members or [])
    return group


def read_user_patch(body: bytes, user_id: str = "") -> PatchOp[User]:
    """A patch of the user of an id.

    Raises:
        ScimRejected: it is malformed.
    """
    params = _patch_body(body, user_id)
    with rejecting():
        return PatchOp[User].model_validate(
            params, scim_ctx=Context.RESOURCE_PATCH_REQUEST
        )


def apply_user_patch(patch: PatchOp[User], user: User) -> User:
    """The user after a patch, held to the bounds of a whole one.

    Raises:
        ScimRejected: the patch does not fit the user, or makes too much of them.
    """
    with rejecting():
        patch.patch(user)
    if user.active is None:
        raise ScimRejected(
            "active can be set to true or false, but not removed.", "mutability"
        )
    return user


def apply_group_patch(patch: PatchOp[Group], group: Group) -> Group:
    """The group after the parts of a patch that do not concern its members.

    Raises:
        ScimRejected: the patch does not fit the group, or names members in a way that
            `read_group_patch` does not know.
    """
    untouched = [Member(value="untouched", ref=None)]
    group.members = list(untouched)
    with rejecting():
        patch.patch(group)
    if group.members != untouched:
        raise ScimRejected("Members are changed with the path members.", "invalidPath")
    return group


def read_group_patch(body: bytes, group_id: str = "") -> GroupPatch:
    """A patch of the group of an id.

    Raises:
        ScimRejected: it is malformed.
    """
    params = _patch_body(body, group_id)
    with rejecting():
        patch = PatchOp[Group].model_validate(
            params, scim_ctx=Context.RESOURCE_PATCH_REQUEST
        )
    rest: list[Any] = []
    steps: list[tuple[tuple[str, ...], tuple[str, ...] | None]] = []
    for operation in patch.operations or []:
        left = operation
        if _is_whole(operation.path) and isinstance(operation.value, dict):
            named = {
                name: value
                for name, value in operation.value.items()
                if name.lower().removeprefix(f"{_GROUP}:") == "members"
            }
            steps += [_member_step(operation.op, None, v) for v in named.values()]
            others = {
                name: value
                for name, value in operation.value.items()
                if name not in named
            }
            if not others:
                continue
            left = operation.model_copy(update={"value": others})
        elif operation.path and operation.path.parts[0].lower() == "members":
            steps.append(_member_step(operation.op, operation.path, operation.value))
            continue
        rest.append(left)
    _require_few(sum(len(add) + len(remove or ()) for add, remove in steps))
    return GroupPatch(
        patch=patch.model_copy(update={"operations": rest}) if rest else None,
        members=MemberChanges(steps=tuple(steps)),
    )


def _is_whole(path: Path[Any] | None) -> bool:
    """Whether a path names the group itself: it is absent, empty or the schema."""
    return path is None or str(path).lower() in {"", _GROUP}


def read_listing(query: bytes, kind: type[AnyResource]) -> Listing:
    """The query of a request for one resource or several.

    Raises:
        ScimRejected: it is malformed, or has a filter that is not supported.
    """
    if len(query) > _QUERY_BYTES_MAX:
        raise ScimRejected(f"The query is longer than {_QUERY_BYTES_MAX} bytes.")
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=_FIELDS_MAX,
            errors="strict",
        )
    except ValueError:
        raise ScimRejected("The query cannot be read.") from None
    params = {name.lower(): value for name, value in pairs}
    if len(params) != len(pairs):
        raise ScimRejected("A parameter is repeated.")
    text = params.get("filter", "")
    with rejecting():
        conditions = read_filter(text, kind) if text else ()
    return Listing(
        conditions=conditions,
        start=max(1, _number(params, "startindex", 1)),
        count=max(0, min(PAGE_MAX, _number(params, "count", PAGE_MAX))),
        projection=_projection(params, kind),
    )


def _read(kind: type[AnyResource], body: bytes, *, replaces: bool) -> AnyResource:
    params = {
        name: value
        for name, value in _object(body).items()
        if name.lower() not in _ASSIGNED
    }
    _check_members(params)
    context = (
        Context.RESOURCE_REPLACEMENT_REQUEST
        if replaces
        else Context.RESOURCE_CREATION_REQUEST
    )
    with rejecting():
        resource = kind.model_validate(params, scim_ctx=context)
    resource.schemas = [str(kind.__schema__)]
    return resource


def _patch_body(body: bytes, resource_id: str) -> Mapping[str, Any]:
    params = _object(body)
    for name, value in params.items():
        if name.lower() != "operations" or not isinstance(value, list):
            continue
        if len(value) > OPERATIONS_MAX:
            raise ScimRejected(
                f"A patch may have at most {OPERATIONS_MAX} operations.", "tooMany"
            )
        for operation in value:
            if isinstance(operation, dict):
                _check_path(operation)
                _drop_repeated_id(operation, resource_id)
    return params


def _check_path(operation: Mapping[str, Any]) -> None:
    """Refuse a path that takes long to parse."""
    for name, value in operation.items():
        if name.lower() == "path" and len(str(value)) > _PATH_CHARACTERS_MAX:
            raise ScimRejected(
                f"A path may have at most {_PATH_CHARACTERS_MAX} characters.",
                "invalidPath",
            )


def _drop_repeated_id(operation: Mapping[str, Any], resource_id: str) -> None:
    """Take the resource's own id out of what is set: that changes nothing.

    Okta sends it with a group's name. Another id is refused, since it is read-only.
    """
    parts = {name.lower(): value for name, value in operation.items()}
    value = parts.get("value")
    if isinstance(value, dict) and not parts.get("path"):
        for name in [name for name in value if name.lower() == "id"]:
            if value[name] == resource_id:
                del value[name]


def _object(body: bytes) -> dict[str, Any]:
    if body.count(b",") > _VALUES_MAX:
        raise ScimRejected(
            f"The body has more than {_VALUES_MAX} values; send several.", "tooMany"
        )
    try:
        value = parse_value(body)
    except ValueError:
        raise ScimRejected("The body is not JSON.", "invalidSyntax") from None
    if not isinstance(value, dict):
        raise ScimRejected("The body is not a JSON object.", "invalidSyntax")
    return value


def _member_step(
    op: str, path: Path[Any] | None, value: object
) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """One operation on members, as what it adds and what it removes."""
    binding = None if path is None else path.resolve()
    if binding is not None and binding.sub_field_name is not None:
        raise ScimRejected(
            "Members are added and removed as a whole, as members or as"
            ' members[value eq "…"].',
            "invalidPath",
        )
    selected = None if path is None else path.value_filter
    if selected is not None:
        if op != "remove":
            raise ScimRejected(
                "A filter on members can only be used to remove them.", "invalidPath"
            )
        with rejecting():
            return (), _selected_ids(str(path))
    if op == "remove" and value is None:
        return (), None
    ids = _member_ids(value if isinstance(value, list) else [value])
    if op == "remove":
        return (), ids
    return (ids, None) if op == "replace" else (ids, ())


def _selected_ids(path: str) -> tuple[str, ...]:
    """The one member that ``members[value eq "…"]`` selects."""
    (condition,) = read_filter(path, Group)
    return (str(condition.value),)


def _member_ids(members: list[Any]) -> tuple[str, ...]:
    ids = []
    for member in members:
        value: object = None
        if isinstance(member, Member):
            value = member.value
        elif isinstance(member, Mapping):
            value = next((v for n, v in member.items() if n.lower() == "value"), None)
        if not isinstance(value, str) or not value or not is_text(value):
            raise ScimRejected("A member has no value: a user's id.", "invalidValue")
        ids.append(value)
    return tuple(dict.fromkeys(ids))


def _check_members(params: Mapping[str, Any]) -> None:
    """Refuse too many members before they are looked at one by one."""
    for name, value in params.items():
        if name.lower() == "members" and isinstance(value, list):
            _require_few(len(value))


def _require_few(members: int) -> None:
    if members > MEMBERS_MAX:
        raise ScimRejected(
            f"A request may name at most {MEMBERS_MAX} members; send several requests.",
            "tooMany",
        )


def _projection(
    params: Mapping[str, str], kind: type[Resource[Any]]
) -> ResponseParameters[Any] | None:
    names = {
        name: text
        for name in ("attributes", "excludedAttributes")
        if (text := params.get(name.lower(), ""))
    }
    if not names:
        return None
    for name, text in names.items():
        if len(text) > _NAMES_CHARACTERS_MAX:
            raise ScimRejected(f"{name} is too long.")
    bound: Any = ResponseParameters[kind]  # type: ignore[valid-type]
    with rejecting():
        read: ResponseParameters[Any] = bound.model_validate(names)
    return read


def _number(params: Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name, "")
    if not text:
        return default
    if not _NUMBER.fullmatch(text):
        raise ScimRejected(f"{name} is not a number, or out of range.", "invalidValue")
    return int(text)
