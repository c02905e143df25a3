"""The policies that take part in a simulation, where each comes from, and which are left out.

Source: IAM service model, ``PolicyIdentifier``.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct, field

from broker.actions.action import Call
from broker.errors import InvalidInput, NoSuchEntity
from broker.kinds.control_policies import ControlKind, control_policies
from broker.kinds.managed_policies import find_managed_policy
from broker.kinds.names import AWS_MANAGED, find_named_resource, parse_policy_arn
from broker.kinds.owners import Owner, kind_of, owner_id
from broker.kinds.resource_policies import PolicyHolders
from broker.model.entities import Group, User
from broker.policy import (
    PolicyDocument,
    PolicyKind,
    PolicyRejected,
    PolicySet,
    StatementRef,
    compile_policies,
    parse_policy,
)
from broker.policy.positions import Span, TextPosition, statement_spans
from broker.policy.wildcard import TextTest, compile_wildcard, tokenize
from broker.runtime.offload import LONG_POLICY, Steps, offload_long
from broker.runtime.shares import give_way
from broker.stores.directory import kinds
from broker.stores.directory.identities import list_user_groups
from broker.stores.directory.kinds import ACCOUNT
from broker.stores.directory.policies import (
    list_attachments,
    list_inline_policies,
    resource_policy_arns,
)

_MEMBERS = ("PolicyType", "PolicyArn", "InlinePolicyIdentifier")

CHARACTERS_MAX = 524_288
"""Of all policies of a request; AWS documents no bound, a call must have one."""

_LEVELS = "OrderedOrganizationPolicyInputList"
_LEVEL = "ServiceControlPolicyInputList"
_LISTS = ("PolicyInputList", "PermissionsBoundaryPolicyInputList")
IAM_POLICY = "IAM Policy"
RESOURCE_POLICY = "Resource Policy"

BOUNDARY_POLICY = "Permissions Boundary Policy"
"""What AWS answers, although its model lists other words (recorded)."""


class _Inline(Struct, frozen=True):
    name: str
    kind: str
    is_owner: TextTest


class Exclusions(Struct, frozen=True):
    """What is left out."""

    types: frozenset[str] = frozenset()
    arns: tuple[TextTest, ...] = ()
    inlines: tuple[_Inline, ...] = ()

    @classmethod
    def read(cls, identifiers: Iterable[Mapping[str, Any]]) -> "Exclusions":
        """The exclusions of a request.

        Raises:
            InvalidInput: an identifier says nothing, too much, or is malformed.
        """
        types: set[str] = set()
        arns: list[TextTest] = []
        inlines: list[_Inline] = []
        for identifier in identifiers:
            members = [name for name in _MEMBERS if name in identifier]
            if len(members) != 1:
                raise InvalidInput(
                    "Each entry of PolicyExclusionList must have exactly one of"
                    f" {', '.join(_MEMBERS)}."
                )
            value = identifier[members[0]]
            if members[0] == "PolicyType":
                types.add(value)
            elif members[0] == "PolicyArn":
                arns.append(_arn_test(value))
            else:
                owner = _one_star(value["AttachmentName"])
                inlines.append(
                    _Inline(value["PolicyName"], value["AttachmentType"], owner)
                )
        return cls(frozenset(types), tuple(arns), tuple(inlines))

    @property
    def service_controls(self) -> bool:
        """Whether all service control policies are left out."""
        return "scp" in self.types

    def inline(self, kind: str, owner: str, name: str) -> bool:
        """Whether an inline policy of a ``user`` or ``role`` is left out."""
        return "inline" in self.types or any(
            inline.kind == kind and inline.name == name and inline.is_owner(owner)
            for inline in self.inlines
        )

    def managed(self, arn: str) -> bool:
        """Whether an attached managed policy is left out."""
        own = "aws-managed" if f"::{AWS_MANAGED}:" in arn else "user-managed"
        return own in self.types or self._names(arn)

    def boundary(self, arn: str) -> bool:
        """Whether a permissions boundary is left out."""
        return "permission-boundary" in self.types or self._names(arn)

    def _names(self, arn: str) -> bool:
        return any(test(arn) for test in self.arns)


def _arn_test(arn: str) -> TextTest:
    resource = find_named_resource(arn, "policy")
    if resource is None or any(wild in arn.rpartition("/")[0] for wild in "*?"):
        raise InvalidInput(
            f"{arn} is not the ARN of a managed policy; wildcards stand in its name only."
        )
    return _one_star(arn)


def _one_star(pattern: str) -> TextTest:
    if pattern.count("*") > 1:
        raise InvalidInput(f"{pattern} has more than one *.")
    return compile_wildcard(tokenize(pattern))


class Source(Struct):
    """One policy: how answers name it, its type, text and document."""

    policy_id: str
    source_type: str
    text: str
    document: PolicyDocument
    _spans: tuple[Span, ...] = ()

    def statement(self, index: int) -> dict[str, Any]:
        """A statement as ``MatchedStatements`` shows it."""
        if not self._spans:
            self._spans = statement_spans(self.text)
        span = self._spans[index]
        return {
            "SourcePolicyId": self.policy_id,
            "SourcePolicyType": self.source_type,
            "StartPosition": _shown(span.start),
            "EndPosition": _shown(span.end),
        }


class Sources(Struct):
    """Policies that are compiled together; labels are places in the list."""

    listed: list[Source] = []

    def compile(self) -> PolicySet:
        """All of them, ready to decide."""
        return self.compile_some(range(len(self.listed)))

    def compile_some(self, numbers: Iterable[int]) -> PolicySet:
        """Those at these places in the list."""
        return compile_policies(
            (self._label(number), self.listed[number].document) for number in numbers
        )

    def find_statement(self, ref: StatementRef) -> dict[str, Any] | None:
        """A statement of one of these policies; None for another's."""
        source = self._find(ref.policy)
        return None if source is None else source.statement(ref.index)

    def find_name(self, label: str) -> str | None:
        """How answers name the policy with a label; None for another's."""
        source = self._find(label)
        return None if source is None else source.policy_id

    def _find(self, label: str) -> Source | None:
        kind, _, number = label.rpartition(" ")
        if number.isascii() and number.isdigit() and int(number) < len(self.listed):
            source = self.listed[int(number)]
            return source if source.source_type == kind else None
        return None

    def _label(self, number: int) -> str:
        kind = self.listed[number].source_type
        return f"{kind} {number}"


class HeldPolicies(Struct, frozen=True):
    """Policies that resources have, and which of them hold for each resource."""

    sources: Sources = field(default_factory=Sources)
    numbers: Mapping[str, tuple[int, ...]] = {}

    def by_resource(self) -> dict[str, PolicySet]:
        """The policies of each resource that has any, ready to decide."""
        return {
            resource: self.sources.compile_some(numbers)
            for resource, numbers in self.numbers.items()
        }


async def held_policies(call: Call, resources: Iterable[str]) -> HeldPolicies:
    """The stored policies of registered services' resources, of the caller's account."""
    tree = PolicyHolders(await resource_policy_arns(call.directory, call.account))
    listed: dict[str, int] = {}
    sources = Sources()
    numbers: dict[str, tuple[int, ...]] = {}
    for resource in resources:
        holders = tree.find(resource)
        for arn in holders:
            policy = await call.directory.find(kinds.RESOURCE_POLICY, call.account, arn)
            if arn not in listed and policy is not None:
                listed[arn] = len(sources.listed)
                sources.listed.append(
                    await offload_long(
                        len(policy.document),
                        partial(
                            read_policy,
                            policy.document,
                            PolicyKind.RESOURCE,
                            arn,
                            RESOURCE_POLICY,
                        ),
                        long=LONG_POLICY,
                    )
                )
        results = tuple(listed[arn] for arn in holders if arn in listed)
        if results:
            numbers[resource] = results
    return HeldPolicies(sources, numbers)


def read_policies(
    texts: Iterable[str],
    kind: PolicyKind,
    parameter: str,
    source_type: str = IAM_POLICY,
) -> Steps[list[Source]]:
    """The policies of a parameter: ``PolicyInputList.1`` and so on, one a step.

    Raises:
        InvalidInput: a text is not a policy; the message names it.
    """
    sources = []
    for number, text in enumerate(texts, start=1):
        policy_id = f"{parameter}.{number}"
        sources.append(read_policy(text, kind, policy_id, source_type))
        yield
    return sources


def read_policy(
    text: str, kind: PolicyKind, policy_id: str, source_type: str
) -> Source:
    """One policy of a request.

    Raises:
        InvalidInput: the text is not a policy.
    """
    try:
        return Source(policy_id, source_type, text, parse_policy(text, kind))
    except PolicyRejected as error:
        raise InvalidInput(
            f"{policy_id}: {error.message}", advice=error.advice
        ) from error


def read_levels(levels: Sequence[Any]) -> Steps[tuple[PolicySet, ...]]:
    """``OrderedOrganizationPolicyInputList``: service control policies by level.

    Raises:
        InvalidInput: a text is not a policy.
    """
    sets = []
    for number, level in enumerate(levels, start=1):
        sources = yield from read_policies(
            level.get(_LEVEL, ()), PolicyKind.CONTROL, f"{_LEVELS}.{number}.{_LEVEL}"
        )
        sets.append(Sources(sources).compile())
    return tuple(sets)


def check_size(params: Mapping[str, Any]) -> None:
    """Bound the policies of one request together.

    Raises:
        InvalidInput: they are too long.
    """
    texts = [
        *(text for name in _LISTS for text in params.get(name, ())),
        *(text for level in params.get(_LEVELS, ()) for text in level.get(_LEVEL, ())),
        params.get("ResourcePolicy", ""),
    ]
    size = sum(map(len, texts))
    if size > CHARACTERS_MAX:
        raise InvalidInput(
            f"The policies have {size} characters; a request can have {CHARACTERS_MAX}."
        )


async def owned_policies(
    call: Call, owner: Owner, exclusions: Exclusions
) -> list[Source]:
    """The inline and attached policies of an owner; a user has its groups', too.

    A managed policy that is attached twice counts once.
    """
    account = call.account
    owners: list[Owner] = [owner]
    if isinstance(owner, User):
        owners += await list_user_groups(call.directory, account, owner.user_id)
    sources: list[Source] = []
    attached: dict[str, None] = {}
    for entry in owners:
        kind, unique_id = kind_of(entry).noun, owner_id(entry)
        for inline in await list_inline_policies(call.directory, account, unique_id):
            if not exclusions.inline(kind, entry.name, inline.name):
                policy_id = f"{kind}_{entry.name}_{inline.name}"
                sources.append(await _stored(policy_id, inline.document))
        listed = await list_attachments(call.directory, account, unique_id)
        attached.update(dict.fromkeys(listed))
    for arn in attached:
        if not exclusions.managed(arn):
            name = parse_policy_arn(arn).name
            sources.append(await _stored(name, await managed_text(call, arn)))
    return sources


async def boundary_policies(
    call: Call, owner: Owner, exclusions: Exclusions
) -> list[Source]:
    """The permissions boundary of a user or role; empty when there is none."""
    arn = None if isinstance(owner, Group) else owner.boundary_arn
    if arn is None or exclusions.boundary(arn):
        return []
    text = await managed_text(call, arn)
    document = parse_policy(text, PolicyKind.BOUNDARY)
    return [Source(parse_policy_arn(arn).name, BOUNDARY_POLICY, text, document)]


async def service_controls(call: Call, exclusions: Exclusions) -> tuple[PolicySet, ...]:
    """The level of the account's own service control policies, if it has any."""
    account = await call.directory.find(ACCOUNT, call.account)
    if account is None or exclusions.service_controls:
        return ()
    kind = ControlKind.SERVICE
    listed = [
        Source(
            policy.name,
            kind.value,
            policy.text,
            parse_policy(policy.text, kind.grammar),
        )
        for policy in control_policies(account, kind)
    ]
    return (Sources(listed).compile(),) if listed else ()


async def managed_text(call: Call, arn: str) -> str:
    """The text of a managed policy in force.

    Raises:
        NoSuchEntity: it was deleted meanwhile.
    """
    policy = await find_managed_policy(call.directory, call.account, arn)
    if policy is None:
        raise NoSuchEntity(f"Policy {arn} does not exist or is not attachable.")
    return policy.default_version.document


async def _stored(policy_id: str, text: str) -> Source:
    document = await offload_long(
        len(text), partial(parse_policy, text, PolicyKind.IDENTITY), long=LONG_POLICY
    )
    await give_way()
    return Source(policy_id, IAM_POLICY, text, document)


def _shown(position: TextPosition) -> dict[str, int]:
    return {"Line": position.line, "Column": position.column}
