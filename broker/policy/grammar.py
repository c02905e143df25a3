"""Text to document: the strict grammar of each kind of policy.

Messages are IAM's own sentences; advice beside them names the place, what is wrong and
what to write. IAM reads a policy in stages and reports the first mistake of the first
stage that finds any; so does this reader. Rules that apply only to a policy about to be
stored are in `new_policy`.

Source: IAM User Guide, "Grammar of the IAM JSON policy language"; texts and their order
as recorded from IAM by many users and by the authors of public suites.
"""

import re
from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import NamedTuple, NoReturn

from msgspec import Struct

from broker.policy.arn_pattern import is_everything
from broker.policy.conditions import Operator, parse_operator
from broker.policy.conditions.values import describe_boolean_fault
from broker.policy.document import (
    VERSION_2008,
    VERSION_2012,
    Condition,
    Effect,
    PolicyDocument,
    PolicyKind,
    Principals,
    Statement,
)
from broker.policy.errors import PolicyRejected, RejectionReason
from broker.policy.principal import (
    is_aws_principal,
    is_canonical_user,
    is_federated_principal,
    is_service_principal,
)
from broker.policy.shared_issuers import allows_federated_action
from broker.policy.strict_json import (
    POLICY_CHARACTERS_MAX,
    STORED_CHARACTERS_MAX,
    Json,
    NumberText,
    parse_json,
    shorten,
)
from broker.policy.variables import InvalidVariable, parse_template

PATTERN_CHARACTERS_MAX = 2048
"""The longest ARN IAM takes; bounds what a pattern with wildcards can cost."""

PATTERN_CHARACTERS_WITH_ANY_MAX = 512
"""The same for a pattern with ``?``, which costs more to look for."""

ACTION_CHARACTERS_MAX = 128
"""No service has an action with a longer name."""

_SYNTAX = "Syntax errors in policy."
_LEGACY = "The policy failed legacy parsing"
VENDOR_MISSING = (
    "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
)
_VERSIONS = (VERSION_2008, VERSION_2012)
_TOP = frozenset({"Version", "Id", "Statement"})
_ELEMENTS = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_SID = re.compile(r"[0-9A-Za-z]*")
_SERVICE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9.-]*")
_ACTION_NAME = re.compile(r"[ -9;-~]+")
_PARTITION = re.compile(r"aws(?:-[a-z-]+)?|\*")
_STRAY_CHARACTERS = re.compile(r"[\x00-\x1f\x7f]")


_IN_TRUST = frozenset({"sts", "broker", "*"})
"""Services whose actions a trust policy may allow: the broker's let machines register."""

_EFFECTS = {effect.value.lower(): effect for effect in Effect}
_PRINCIPAL_TYPES = {
    "AWS": is_aws_principal,
    "Federated": is_federated_principal,
    "Service": is_service_principal,
    "CanonicalUser": is_canonical_user,
}


class Stage(IntEnum):
    """The stages in which IAM reads a policy, in their order."""

    VERSION = 1
    LEGACY = 2
    SID = 3
    ACTIONS = 4
    RESOURCES = 5
    VENDOR = 6
    NO_RESOURCES = 7
    KIND = 8


Problems = list[tuple[Stage, PolicyRejected]]
"""What was found after the first stage, the syntax, which ends the reading."""


def parse_policy(text: str, kind: PolicyKind) -> PolicyDocument:
    """Read a policy of one kind that is stored already.

    Quotas on its size, the existence of its principals and the guard on shared
    issuers (`shared_issuers.check_shared_issuers`) are the caller's business.

    Raises:
        PolicyRejected: the text breaks the grammar; nothing else is ever raised.
    """
    problems: Problems = []
    document = read_policy(text, kind, problems, STORED_CHARACTERS_MAX)
    raise_first(problems)
    return document


def has_arn_format(resource: str) -> bool:
    """Whether a resource begins as an ARN does."""
    scheme, colon, rest = resource.partition(":")
    partition = rest.partition(":")[0]
    return (
        scheme == "arn" and bool(colon) and _PARTITION.fullmatch(partition) is not None
    )


def raise_first(problems: Problems) -> None:
    """Report the first mistake of the first stage that has any.

    Raises:
        PolicyRejected: there is one.
    """
    if problems:
        raise min(problems, key=lambda problem: problem[0])[1]


def read_policy(
    text: str,
    kind: PolicyKind,
    problems: Problems,
    characters_max: int = POLICY_CHARACTERS_MAX,
) -> PolicyDocument:
    """The document, and in ``problems`` what is wrong with it beyond its syntax.

    Raises:
        PolicyRejected: the text has syntax errors.
    """
    value = parse_json(text, characters_max)
    if not isinstance(value, dict):
        _reject(
            RejectionReason.WRONG_TYPE,
            _SYNTAX,
            "The policy",
            "must be a JSON object; write {…}",
        )
    for name in value:
        if name not in _TOP:
            _reject(
                RejectionReason.UNKNOWN_ELEMENT,
                _SYNTAX,
                "The policy",
                f"has an unknown element {shorten(name)}; only Version, Id and Statement "
                "stand here",
            )
    version = _version(value)
    identifier = _optional_text(value, "Id", "The policy")
    statements = tuple(
        _StatementReader(kind, version, index, raw, problems).read()
        for index, raw in enumerate(_statements(value))
    )
    _check_sids(statements, problems)
    return PolicyDocument(
        kind=kind, version=version, statements=statements, id=identifier
    )


def _rejected(
    reason: RejectionReason, head: str, place: str, what: str
) -> PolicyRejected:
    return PolicyRejected(
        reason, head, place, f"{place}: {what}." if place else f"{what}."
    )


def _reject(reason: RejectionReason, head: str, place: str, what: str) -> NoReturn:
    raise _rejected(reason, head, place, what)


def _version(policy: Mapping[str, Json]) -> str:
    version = policy.get("Version", VERSION_2008)
    if not isinstance(version, str) or version not in _VERSIONS:
        _reject(
            RejectionReason.INVALID_VERSION,
            _SYNTAX,
            "Version",
            'is not a version of the language; write "2012-10-17"',
        )
    return str(version)


def _optional_text(holder: Mapping[str, Json], name: str, place: str) -> str | None:
    if name not in holder:
        return None
    value = holder[name]
    if not isinstance(value, str) or isinstance(value, NumberText):
        _reject(RejectionReason.WRONG_TYPE, _SYNTAX, place, f"{name} must be a string")
    return value


def _statements(policy: Mapping[str, Json]) -> list[Json]:
    if "Statement" not in policy:
        _reject(
            RejectionReason.MISSING_ELEMENT,
            _SYNTAX,
            "The policy",
            "has no Statement; write one statement or a list of them",
        )
    value = policy["Statement"]
    results: list[Json] = value if isinstance(value, list) else [value]
    if not results:
        _reject(
            RejectionReason.EMPTY, _SYNTAX, "Statement", "the list holds no statement"
        )
    return results


def _check_sids(statements: tuple[Statement, ...], problems: Problems) -> None:
    seen: set[str] = set()
    for statement in statements:
        if not statement.sid:
            continue
        if statement.sid in seen:
            twice = _rejected(
                RejectionReason.INVALID_SID,
                "Statement IDs (SID) in a single policy must be unique.",
                statement.place,
                "its Sid is used before; write another one",
            )
            problems.append((Stage.SID, twice))
        seen.add(statement.sid)


class _ConditionPlace(NamedTuple):
    """A place in a Condition; put into words only when something is wrong there."""

    operator: str
    key: str | None = None

    def __str__(self) -> str:
        named = f"Condition {shorten(self.operator)}"
        return named if self.key is None else f"{named} {shorten(self.key)}"


class _StatementReader(Struct, frozen=True):
    """Reads one statement; every complaint names it."""

    kind: PolicyKind
    version: str
    index: int
    raw: Json
    problems: Problems

    @property
    def place(self) -> str:
        raw = self.raw
        sid = raw.get("Sid") if isinstance(raw, dict) else None
        if isinstance(sid, str) and sid:
            return f"Statement {self.index + 1} ({shorten(sid)})"
        return f"Statement {self.index + 1}"

    @property
    def variables(self) -> bool:
        return self.version == VERSION_2012

    def reject(
        self,
        reason: RejectionReason,
        what: str,
        *,
        element: object = "",
        head: str = _SYNTAX,
    ) -> NoReturn:
        place = f"{self.place}, {element}" if element else self.place
        _reject(reason, head, place, what)

    def note(
        self,
        stage: Stage,
        reason: RejectionReason,
        what: str,
        *,
        head: str,
        element: object = "",
    ) -> None:
        """A mistake found by a stage after the syntax."""
        place = f"{self.place}, {element}" if element else self.place
        self.problems.append((stage, _rejected(reason, head, place, what)))

    def read(self) -> Statement:
        raw = self.raw
        if not isinstance(raw, dict):
            self.reject(RejectionReason.WRONG_TYPE, "must be a JSON object")
        for name in raw:
            if name not in _ELEMENTS:
                self.reject(
                    RejectionReason.UNKNOWN_ELEMENT,
                    f"has an unknown element {shorten(name)}; "
                    "elements are written exactly as in the IAM grammar",
                )
        sid = self.sid(raw)
        effect = self.effect(raw)
        action_element, actions = self.actions(raw)
        resource_element, resources = self.resources(raw)
        principal_element, principals = self.principals(raw, effect)
        statement = Statement(
            index=self.index,
            sid=sid,
            effect=effect,
            actions=actions,
            not_action=action_element == "NotAction",
            resources=resources,
            not_resource=resource_element == "NotResource",
            principals=principals,
            not_principal=principal_element == "NotPrincipal",
            conditions=tuple(self.conditions(raw)),
        )
        if (
            self.kind is PolicyKind.TRUST
            and principals is not None
            and principals.anyone
            and effect is Effect.ALLOW
            and allows_federated_action(statement)
        ):
            anyone = PolicyRejected(
                RejectionReason.INVALID_PRINCIPAL,
                'AssumeRolepolicy contained an invalid principal: "STAR":"*".',
                f"{self.place}, Principal",
            )
            self.problems.append((Stage.KIND, anyone))
        return statement

    def sid(self, raw: Mapping[str, Json]) -> str | None:
        sid = _optional_text(raw, "Sid", self.place)
        if sid is None:
            return None
        if self.kind is not PolicyKind.RESOURCE and not _SID.fullmatch(sid):
            self.note(
                Stage.SID,
                RejectionReason.INVALID_SID,
                "use letters and digits only",
                element="Sid",
                head="Statement IDs (SID) must be alpha-numeric. Check that your input"
                " satisfies the regular expression [0-9A-Za-z]*",
            )
        return sid

    def effect(self, raw: Mapping[str, Json]) -> Effect:
        if "Effect" not in raw:
            self.reject(
                RejectionReason.MISSING_ELEMENT,
                'has no Effect; write "Allow" or "Deny"',
            )
        value = raw["Effect"]
        effect = _EFFECTS.get(value.lower()) if isinstance(value, str) else None
        wrong = 'must be "Allow" or "Deny", in exactly this case'
        if effect is None:
            self.reject(RejectionReason.INVALID_EFFECT, wrong, element="Effect")
        if value != effect.value:
            self.note(
                Stage.LEGACY,
                RejectionReason.INVALID_EFFECT,
                wrong,
                element="Effect",
                head=_LEGACY,
            )
        return effect

    def actions(self, raw: Mapping[str, Json]) -> tuple[str | None, tuple[str, ...]]:
        element = self.either(raw, "Action", "NotAction")
        actions = () if element is None else self.strings(raw, element)
        for action in actions:
            self.check_action(action, str(element))
        if not actions:
            self.note(
                Stage.ACTIONS,
                _none_of(element),
                'name an action, for example "Action": "s3:GetObject"',
                element=element or "",
                head="Policy statement must contain actions.",
            )
        return element, actions

    def either(self, raw: Mapping[str, Json], text: str, other: str) -> str | None:
        if text in raw and other in raw:
            self.reject(
                RejectionReason.CONFLICTING_ELEMENTS,
                f"has both {text} and {other}; keep one of them",
            )
        return text if text in raw else other if other in raw else None

    def strings(self, raw: Mapping[str, Json], element: str) -> tuple[str, ...]:
        value = raw[element]
        results = value if isinstance(value, list) else [value]
        return tuple(self.string(item, element) for item in results)

    def string(self, value: Json, element: str) -> str:
        if not isinstance(value, str) or isinstance(value, NumberText):
            self.reject(
                RejectionReason.WRONG_TYPE,
                "must be a string or a list of strings",
                element=element,
            )
        return value

    def check_action(self, action: str, element: str) -> None:
        if action == "*":
            return
        service, colon, name = action.partition(":")
        vendor = ""
        if not colon:
            what = f'{shorten(action)} has no service; write for example "s3:GetObject"'
            vendor = VENDOR_MISSING
        elif ":" in name:
            what = f"{shorten(action)} has more than one colon"
            vendor = "Actions/Condition can contain only one colon."
        elif service != "*" and not _SERVICE.fullmatch(service):
            what = "write a service's name without wildcards before the colon"
            vendor = f"Vendor {shorten(service)[1:-1]} is not valid"
        if vendor:
            self.note(
                Stage.VENDOR,
                RejectionReason.INVALID_ACTION,
                what,
                element=element,
                head=vendor,
            )
            return
        if not _ACTION_NAME.fullmatch(name) or len(name) > ACTION_CHARACTERS_MAX:
            self.reject(
                RejectionReason.INVALID_ACTION,
                f"{shorten(action)} is not an action; write letters and digits, * or ?, "
                "after the colon",
                element=element,
            )
        if self.kind is PolicyKind.TRUST and service.lower() not in _IN_TRUST:
            self.note(
                Stage.KIND,
                RejectionReason.INVALID_ACTION,
                f'{shorten(action)} is none; write for example "sts:AssumeRole"',
                element=element,
                head="AssumeRole policy may only specify STS AssumeRole actions.",
            )

    def resources(
        self, raw: Mapping[str, Json]
    ) -> tuple[str | None, tuple[str, ...] | None]:
        element = self.either(raw, "Resource", "NotResource")
        if self.kind is PolicyKind.TRUST:
            if element is not None:
                self.note(
                    Stage.KIND,
                    RejectionReason.FORBIDDEN_ELEMENT,
                    "a trust policy speaks of its own role only; leave the element out",
                    element=element,
                    head=f"Has prohibited field {element}.",
                )
            return None, None
        if element is None and self.kind is PolicyKind.RESOURCE:
            return None, None
        values = () if element is None else self.resource_values(raw, element)
        for value in values:
            self.check_resource(value, str(element))
        if not values:
            self.note(
                Stage.NO_RESOURCES,
                _none_of(element),
                'write an ARN or "*"',
                element=element or "",
                head="Policy statement must contain resources.",
            )
        return element, values

    def resource_values(self, raw: Mapping[str, Json], element: str) -> tuple[str, ...]:
        """The patterns; a null in the list names nothing, and IAM takes it."""
        value = raw[element]
        results = value if isinstance(value, list) else [value]
        return tuple(
            self.string(item, element)
            for item in results
            if item is not None or not isinstance(value, list)
        )

    def check_resource(self, value: str, element: str) -> None:
        self.check_pattern(value, element)
        if is_everything(value):
            return
        text = shorten(value)[1:-1]
        if _STRAY_CHARACTERS.search(value):
            self.reject(
                RejectionReason.INVALID_RESOURCE,
                f"{shorten(value)} holds a control character",
                element=element,
            )
        if has_arn_format(value):
            return
        _, colon, rest = value.partition(":")
        parts = rest.split(":", 4)
        what = f"write an ARN such as arn:aws:s3:::bucket/* instead of {text}"
        wrong = f'Resource {text} must be in ARN format or "*".'
        if colon and not _PARTITION.fullmatch(parts[0]):
            what = "write aws after arn:"
            wrong = (
                f'Partition "{shorten(parts[0])[1:-1]}" is not valid for resource'
                f' "arn:{shorten(_padded(parts))[1:-1]}".'
            )
        self.note(
            Stage.RESOURCES,
            RejectionReason.INVALID_RESOURCE,
            what,
            element=element,
            head=wrong,
        )

    def check_pattern(self, value: str, element: object) -> None:
        limit = (
            PATTERN_CHARACTERS_WITH_ANY_MAX
            if "?" in value
            else PATTERN_CHARACTERS_MAX
            if "*" in value
            else len(value)
        )
        if len(value) > limit:
            self.reject(
                RejectionReason.TOO_LONG,
                f"has {len(value)} characters; a pattern may have {limit}",
                element=element,
            )
        self.check_variables(value, element)

    def bad_variable(self, error: InvalidVariable, element: object) -> PolicyRejected:
        place = f"{self.place}, {element}"
        return PolicyRejected(
            RejectionReason.INVALID_VARIABLE, _SYNTAX, place, f"{place}: {error}."
        )

    def principals(
        self, raw: Mapping[str, Json], effect: Effect
    ) -> tuple[str | None, Principals | None]:
        element = self.either(raw, "Principal", "NotPrincipal")
        if element is None:
            if self.kind.is_about_principals:
                self.note(
                    Stage.KIND,
                    RejectionReason.MISSING_ELEMENT,
                    'has no Principal; write for example {"AWS": "123456789012"}',
                    head="Missing required field Principal.",
                )
            return None, None
        allowed = self.kind.is_about_principals or (
            self.kind is PolicyKind.CONTROL and raw.get("Principal") == "*"
        )
        if not allowed:
            self.note(
                Stage.KIND,
                RejectionReason.FORBIDDEN_ELEMENT,
                "this policy belongs to its principal; leave the element out",
                element=element,
                head="Policy document should not specify a principal.",
            )
            return None, None
        if element == "NotPrincipal" and self.kind is PolicyKind.TRUST:
            self.note(
                Stage.KIND,
                RejectionReason.FORBIDDEN_ELEMENT,
                "a trust policy names whom it trusts; write Principal"
                if effect is Effect.ALLOW
                else "write Principal with a Condition on aws:PrincipalArn",
                element=element,
                head="Has prohibited field NotPrincipal.",
            )
        return element, self.principal_block(raw[element], element)

    def principal_block(self, value: Json, element: str) -> Principals:
        if value == "*":
            return Principals(anyone=True)
        if not isinstance(value, dict) or not value:
            self.note(
                Stage.KIND,
                RejectionReason.INVALID_PRINCIPAL,
                'write "*" or an object such as {"AWS": "123456789012"}',
                element=element,
                head="Invalid principal in policy.",
            )
            return Principals()
        results: dict[str, tuple[str, ...]] = {}
        for name in value:
            if name not in _PRINCIPAL_TYPES or (
                name == "CanonicalUser" and self.kind is PolicyKind.TRUST
            ):
                self.note(
                    Stage.KIND,
                    RejectionReason.INVALID_PRINCIPAL,
                    f"has an unknown type {shorten(name)}; "
                    "write AWS, Federated or Service",
                    element=element,
                    head="Invalid principal in policy.",
                )
                continue
            results[name] = self.strings(value, name)
            if not results[name]:
                self.reject(
                    RejectionReason.EMPTY,
                    "the list is empty; write a value",
                    element=name,
                )
            for item in results[name]:
                self.check_principal(name, item, element)
        return Principals(
            aws=results.get("AWS", ()),
            federated=results.get("Federated", ()),
            service=results.get("Service", ()),
            canonical_user=results.get("CanonicalUser", ()),
        )

    def check_principal(self, name: str, value: str, element: str) -> None:
        if _PRINCIPAL_TYPES[name](value):
            return
        text = (
            "Federated principals must be valid domain names or SAML metadata ARNs"
            if name == "Federated"
            else f'Invalid principal in policy: "{name.upper()}":{shorten(value)}'
        )
        # IAM's own texts are complete, so the place stays beside them.
        place = f"{self.place}, {element}"
        wrong = PolicyRejected(RejectionReason.INVALID_PRINCIPAL, text, place)
        self.problems.append((Stage.KIND, wrong))

    def conditions(self, raw: Mapping[str, Json]) -> Iterator[Condition]:
        if "Condition" not in raw:
            return
        block = raw["Condition"]
        if not isinstance(block, dict):
            self.reject(
                RejectionReason.WRONG_TYPE,
                'must be an object such as {"StringEquals": {"aws:username": "x"}}',
                element="Condition",
            )
        for operator_text, keys in block.items():
            place = _ConditionPlace(operator_text)
            if keys == {}:
                continue  # IAM does not look at what nothing is compared with
            operator = self.operator(operator_text, place)
            if not isinstance(keys, dict):
                self.reject(
                    RejectionReason.WRONG_TYPE,
                    'must be an object such as {"aws:username": "x"}',
                    element=place,
                )
            family = operator.family
            check = describe_boolean_fault if family is None else family.check
            for key, value in keys.items():
                self.check_key(key, place)
                key_place = _ConditionPlace(operator_text, key)
                values = tuple(self.condition_values(value, key_place))
                for item in values:
                    wrong = check(item)
                    if wrong is not None:
                        self.wrong_value(item, wrong, operator, key_place)
                    if family is not None and family.takes_variables:
                        self.check_value(item, place, wildcards=family.takes_wildcards)
                yield Condition(operator_text, key, values)

    def operator(self, text: str, place: object) -> Operator:
        try:
            return parse_operator(text)
        except ValueError as error:
            self.reject(RejectionReason.INVALID_CONDITION, str(error), element=place)

    def wrong_value(
        self, value: str, wrong: str, operator: Operator, place: object
    ) -> None:
        what = f"{shorten(value)} {wrong}"
        reason = RejectionReason.INVALID_CONDITION
        if operator.name.startswith("Date"):
            self.note(Stage.LEGACY, reason, what, element=place, head=_LEGACY)
        else:
            self.reject(reason, what, element=place)

    def check_key(self, key: str, place: object) -> None:
        if not key:
            self.reject(
                RejectionReason.INVALID_CONDITION,
                'an empty text is not a key; write for example "aws:SourceIp"',
                element=place,
            )

    def check_value(self, value: str, place: object, *, wildcards: bool) -> None:
        if wildcards:
            self.check_pattern(value, place)
        else:
            self.check_variables(value, place)

    def check_variables(self, value: str, element: object) -> None:
        if not self.variables or "${" not in value:
            return
        try:
            parse_template(value, variables=True, wildcards=True)
        except InvalidVariable as error:
            raise self.bad_variable(error, element) from error

    def condition_values(self, value: Json, place: object) -> Iterator[str]:
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, bool):
                yield "true" if item else "false"
            elif isinstance(item, str):
                yield str(item)
            else:
                self.reject(
                    RejectionReason.WRONG_TYPE,
                    "must be a string, a number or a Boolean, or a list of them",
                    element=place,
                )


def _padded(parts: list[str]) -> str:
    """An ARN without its scheme, stars for missing parts, as IAM's messages show it."""
    written = parts[:1] if parts[1:] == [""] else parts
    return ":".join([*written, *["*"] * (5 - len(written))])


def _none_of(element: str | None) -> RejectionReason:
    """Why nothing is named: there is no such element, or an empty list."""
    return RejectionReason.MISSING_ELEMENT if element is None else RejectionReason.EMPTY
