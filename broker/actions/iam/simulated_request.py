"""The parameters of a simulation: caller, actions, resources, context.

Error texts are AWS's where they are known from reports.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from broker.actions.action import Call
from broker.errors import InvalidInput, NoSuchEntity
from broker.kinds.groups import require_group
from broker.kinds.owners import Bounded, Owner
from broker.kinds.roles import require_role
from broker.kinds.users import require_user
from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.entities import User
from broker.model.principal import Principal
from broker.model.request import Params
from broker.permit.context import tag_context
from broker.policy import VALUE_CHARACTERS_MAX
from broker.policy.context import KeyType, has_type
from broker.stores.directory.kinds import ROLE, USER
from broker.stores.directory.port import DirectoryReader

RESOURCES_MAX = 1000
"""AWS documents no bound; a call must have one."""

CONTEXT_VALUES_MAX = 500
CONTEXT_CHARACTERS_MAX = 65_536
"""Of all values of ``ContextEntries``; of the length of each see `policy`."""

EVERYTHING = "*"
_ACTION = re.compile(r"[A-Za-z0-9-]+:[A-Za-z0-9]+")
_ENTITY = re.compile(
    r"arn:aws(?:-[a-z-]+)?:iam::([0-9]{12})?:(user|role|group)(/(?:[!-~]+/)?)([\w+=,.@-]+)",
    re.ASCII,
)
_OWNER = re.compile(r"arn:aws(?:-[a-z-]+)?:iam::([0-9]{12}):root")
_LIST = "List"

_REQUIRE: Mapping[
    str, Callable[[DirectoryReader, AccountId, str], Awaitable[Owner]]
] = {"user": require_user, "role": require_role, "group": require_group}

_SCENARIOS: Mapping[str, tuple[str, ...]] = {
    "EC2-VPC-InstanceStore": (
        *("instance", "image", "security-group", "network-interface"),
    ),
    "EC2-VPC-InstanceStore-Subnet": (
        *("instance", "image", "security-group", "network-interface", "subnet"),
    ),
    "EC2-VPC-EBS": (
        *("instance", "image", "security-group", "network-interface", "volume"),
    ),
    "EC2-VPC-EBS-Subnet": (
        *("instance", "image", "security-group", "network-interface"),
        *("subnet", "volume"),
    ),
}
"""The resources that each ``ResourceHandlingOption`` needs."""


class EntityArn(Struct, frozen=True):
    """What the ARN of a user, role or group names."""

    text: str
    account: AccountId
    kind: str
    path: str
    name: str

    def may_be(self, path: str) -> bool:
        """Whether the ARN is that of the entity of this name, or names no path.

        Another path may be that of one which was deleted.
        """
        return self.path in {"/", path}


class SimulatedCaller(Struct, frozen=True, kw_only=True):
    """Who is thought to call, and the condition keys that follow from it."""

    principal: Principal
    is_role: bool = False
    context: Mapping[str, tuple[str, ...]] = {}


def parse_entity_arn(text: str, own: AccountId) -> EntityArn:
    """Read the ARN of a user, role or group; an absent account is one's own.

    Raises:
        InvalidInput: it is the ARN of something else.
    """
    match = _ENTITY.fullmatch(text)
    if match is None:
        raise InvalidInput(
            f"Invalid Entity Arn: {text} does not clearly define entity type and name."
        )
    account, kind, path, name = match.groups()
    return EntityArn(text, AccountId(account or own), kind, path, name)


async def require_owner(call: Call, entity: EntityArn) -> Owner:
    """The user, role or group of one's own account that an ARN names.

    Raises:
        NoSuchEntity: there is none.
    """
    if entity.account != call.account:
        raise NoSuchEntity(f"The entity {entity.text} cannot be found.")
    owner = await _REQUIRE[entity.kind](call.directory, call.account, entity.name)
    if not entity.may_be(owner.path):
        raise NoSuchEntity(f"The entity {entity.text} cannot be found.")
    return owner


async def simulated_caller(call: Call, arn: str) -> SimulatedCaller:
    """The caller that an ARN names; it need not exist.

    Raises:
        InvalidInput: the ARN is not a user's, role's or group's.
    """
    entity = parse_entity_arn(arn, call.account)
    known: Bounded | None = None
    if entity.account == call.account:
        if entity.kind == "user":
            known = await call.directory.named(USER, call.account, entity.name)
        elif entity.kind == "role":
            known = await call.directory.named(ROLE, call.account, entity.name)
    if known is not None and not entity.may_be(known.path):
        known = None
    return _caller(entity, known)


def unknown_caller(account: AccountId) -> SimulatedCaller:
    """A caller of the account of whom no more is known."""
    return SimulatedCaller(
        principal=Principal.user(account, user_id="", path="/", name="")
    )


def read_actions(params: Params) -> list[str]:
    """``ActionNames``.

    Raises:
        InvalidInput: one has no service, or a wildcard.
    """
    names: list[str] = list(params["ActionNames"])
    for name in names:
        if not _ACTION.fullmatch(name):
            raise InvalidInput(
                f"Invalid Action Name: {name} must be a service and an action without"
                " wildcards, such as s3:GetObject."
            )
    return names


def read_resources(params: Params) -> tuple[str, ...]:
    """``ResourceArns``, each once; ``*`` when there are none.

    Raises:
        InvalidInput: one is not an ARN, or there are too many.
    """
    resources = tuple(dict.fromkeys(params.get("ResourceArns", ()))) or (EVERYTHING,)
    if len(resources) > RESOURCES_MAX:
        raise InvalidInput(f"ResourceArns can have {RESOURCES_MAX} members.")
    for resource in resources:
        if resource != EVERYTHING and not _is_arn(resource):
            raise InvalidInput(
                f"ResourceNames are not in a valid ARN format: {resource}."
            )
    _check_scenario(params.get("ResourceHandlingOption"), resources)
    return resources


def read_owner(params: Params) -> str | None:
    """The account of ``ResourceOwner``; None when it is not given.

    Raises:
        InvalidInput: it is not an account's ARN.
    """
    text: str | None = params.get("ResourceOwner")
    if text is None:
        return None
    match = _OWNER.fullmatch(text)
    if match is None:
        raise InvalidInput(f"'{text}' is not a valid as a Resource Owner.")
    return match[1]


def read_context(entries: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """``ContextEntries``; a key without values stays absent.

    Raises:
        InvalidInput: a key comes twice, has no name, a value is not of its type, or
            there is too much of it.
    """
    _check_amount(entries)
    context: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        name = entry.get("ContextKeyName", "")
        if ":" not in name:
            raise InvalidInput(
                f"The context key name {name!r} has no service prefix;"
                " write one such as aws:SourceIp."
            )
        if name.lower() in context:
            raise InvalidInput(f"The context key {name} comes twice.")
        values = tuple(entry.get("ContextKeyValues", ()))
        _check_values(name, entry.get("ContextKeyType", "string"), values)
        context[name.lower()] = values
    return {name: values for name, values in context.items() if values}


def _caller(entity: EntityArn, known: Bounded | None) -> SimulatedCaller:
    if known is None:
        unique_id, path, name = "", entity.path, entity.name
    else:
        unique_id = known.user_id if isinstance(known, User) else known.role_id
        path, name = known.path, known.name
    context: dict[str, tuple[str, ...]] = {"aws:principalaccount": (entity.account,)}
    if entity.kind == "group":
        # A group is not a principal: it lends its policies to users.
        return SimulatedCaller(
            principal=Principal.user(entity.account, user_id="", path="/", name=""),
            context=context,
        )
    if entity.kind == "user":
        principal = Principal.user(
            entity.account, user_id=unique_id, path=path, name=name
        )
        context["aws:username"] = (name,)
        if unique_id:
            context["aws:userid"] = (unique_id,)
    else:
        principal = Principal.role_session(
            entity.account,
            role_id=unique_id,
            path=path,
            role_name=name,
            session_name="simulation",
        )
    context["aws:principalarn"] = (principal.principal_arn,)
    context["aws:principaltype"] = (principal.type.value,)
    if known is not None:
        context.update(tag_context("aws:principaltag", known.tags))
    return SimulatedCaller(
        principal=principal, is_role=entity.kind == "role", context=context
    )


def _is_arn(text: str) -> bool:
    try:
        Arn.parse(text)
    except ValueError:
        return False
    return True


def _check_scenario(option: str | None, resources: tuple[str, ...]) -> None:
    if option is None:
        return
    needed = _SCENARIOS.get(option)
    if needed is None:
        raise InvalidInput(
            f"{option} is not a ResourceHandlingOption; write one of"
            f" {', '.join(_SCENARIOS)}."
        )
    kinds = {
        Arn.parse(resource).resource.partition("/")[0]
        for resource in resources
        if resource.split(":", 3)[2:3] == ["ec2"]
    }
    for kind in needed:
        if kind not in kinds:
            raise InvalidInput(f"{option} needs the ARN of one {kind} in ResourceArns.")


def _check_amount(entries: Sequence[Mapping[str, Any]]) -> None:
    """AWS documents no bound on values, but every decision may look at all of them."""
    values = [v for entry in entries for v in entry.get("ContextKeyValues", ())]
    if max(len(entries), len(values)) > CONTEXT_VALUES_MAX:
        raise InvalidInput(
            f"ContextEntries can have {CONTEXT_VALUES_MAX} members and as many values."
        )
    longest = max(map(len, values), default=0)
    if longest > VALUE_CHARACTERS_MAX:
        raise InvalidInput(
            f"A value in ContextEntries has {longest} characters;"
            f" it can have {VALUE_CHARACTERS_MAX}."
        )
    size = sum(map(len, values))
    if size > CONTEXT_CHARACTERS_MAX:
        raise InvalidInput(
            f"The values in ContextEntries have {size} characters together;"
            f" they can have {CONTEXT_CHARACTERS_MAX}."
        )


def _check_values(name: str, key_type: str, values: tuple[str, ...]) -> None:
    single = key_type.removesuffix(_LIST)
    if single == key_type and len(values) > 1:
        raise InvalidInput(
            f"The context key {name} of type {key_type} has {len(values)} values;"
            f" write the type {key_type}{_LIST}."
        )
    for value in values:
        if not has_type(value, KeyType(single)):
            raise InvalidInput(
                f"The value {value[:120]!r} of the context key {name} is not of type"
                f" {single}."
            )
