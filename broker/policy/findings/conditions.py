"""What is wrong with conditions: operators, keys, values, and variables anywhere."""

from collections import Counter
from collections.abc import Iterator, Mapping
from ipaddress import ip_network

from broker.policy.catalogue import ServiceEntry, find_service
from broker.policy.conditions import Operator, parse_operator
from broker.policy.conditions.ip_address import IP_ADDRESS
from broker.policy.conditions.string import ARN_LIKE, STRING_EQUALS
from broker.policy.conditions.values import (
    BINARY_EQUALS,
    BOOL,
    DATE_EQUALS,
    NUMERIC_EQUALS,
)
from broker.policy.context import DECLARED_TYPES, KeySource, KeyType
from broker.policy.findings.finding import (
    Path,
    PolicyFinding,
    RawCondition,
    RawStatement,
    is_text,
)
from broker.policy.issuer_claims import find_context_key
from broker.policy.strict_json import Json, NumberText
from broker.policy.variables import InvalidVariable, parse_template

_FORALL, _FORANY, _IF_EXISTS = "ForAllValues", "ForAnyValue", "IfExists"
_LISTS = "ArrayOf"
_GITHUB = "token.actions.githubusercontent.com:sub"
_REPOSITORY_PARTS = 2
_IDS = {
    "aws:sourcevpc": ("vpc-", "INVALID_VPC_FORMAT"),
    "aws:sourcevpce": ("vpce-", "INVALID_VPCE_FORMAT"),
}
_GROUPS = {
    "Numeric": (
        NUMERIC_EQUALS,
        "TYPE_MISMATCH_NUMBER",
        {KeyType.NUMERIC, KeyType.DATE},
    ),
    "Date": (DATE_EQUALS, "TYPE_MISMATCH_DATE", {KeyType.DATE, KeyType.NUMERIC}),
    "Bool": (BOOL, "TYPE_MISMATCH_BOOLEAN", {KeyType.BOOLEAN}),
    "IpAddress": (IP_ADDRESS, "TYPE_MISMATCH_IP_RANGE", {KeyType.IP}),
    "NotIpAddress": (IP_ADDRESS, "TYPE_MISMATCH_IP_RANGE", {KeyType.IP}),
    "Binary": (BINARY_EQUALS, "TYPE_MISMATCH_STRING", {KeyType.BINARY}),
}
"""By how an operator's name begins: what reads its values, and the keys it is for."""

_COMPARED = frozenset({KeyType.NUMERIC, KeyType.DATE, KeyType.IP, KeyType.BINARY})
"""Types whose values are not compared as texts."""

_ORDERED = ("LessThan", "GreaterThan")
_VARIABLE_FAULTS = (
    ("single quotes", "MISSING_QUOTE_IN_VARIABLE"),
    ("default is not closed", "MISSING_QUOTE_IN_VARIABLE"),
    ("not closed", "MISSING_BRACE_IN_VARIABLE"),
)


def list_condition_faults(statement: RawStatement) -> Iterator[PolicyFinding]:
    """What is wrong with a statement's Condition, and with variables."""
    yield from _blocks(statement)
    for condition in statement.conditions():
        operator = _find_operator(condition.operator)
        yield from _key(condition, operator, statement.own)
        if operator is not None:
            yield from _values(condition, operator)
            for path, value in condition.values():
                if is_text(value):
                    family = operator.family
                    takes = family is not None and family.takes_variables
                    yield from _variables(
                        str(value), path, statement, condition.operator, takes=takes
                    )
    for element in ("Resource", "NotResource"):
        for path, text in statement.texts(element):
            yield from _variables(text, path, statement, element, takes=True)


def _find_operator(text: str) -> Operator | None:
    try:
        return parse_operator(text)
    except ValueError:
        return None


def _blocks(statement: RawStatement) -> Iterator[PolicyFinding]:
    if "Condition" not in statement.raw:
        return
    block, path = statement.raw["Condition"], (*statement.path, "Condition")
    if not isinstance(block, dict):
        yield PolicyFinding("DATA_TYPE_MISMATCH", path, hint="a JSON object")
        return
    if not block:
        yield PolicyFinding("EMPTY_OBJECT_CONDITION", path)
    for text, keys in block.items():
        at = (*path, text)
        yield from _operator(text, at)
        if not isinstance(keys, dict):
            yield PolicyFinding("DATA_TYPE_MISMATCH", at, hint="a JSON object")
            continue
        if not keys:
            yield PolicyFinding("EMPTY_OBJECT_CONDITION", at)
        lowered = Counter(key.lower() for key in keys)
        for key in keys:
            if lowered[key.lower()] > 1:
                yield PolicyFinding(
                    "DUPLICATE_KEYS_WITH_DIFFERENT_CASE", (*at, key), key, of_key=True
                )


def _operator(text: str, path: Path) -> Iterator[PolicyFinding]:
    try:
        operator = parse_operator(text)
    except ValueError as error:
        if text.rpartition(":")[2] == "NullIfExists":
            yield PolicyFinding("NULL_WITH_IF_EXISTS", path, of_key=True)
        else:
            code = "INVALID_CONDITION_OPERATOR"
            yield PolicyFinding(code, path, text, str(error), of_key=True)
        return
    if operator.family is None and operator.quantifier.value:
        yield PolicyFinding("NULL_WITH_QUALIFIER", path, of_key=True)


def _key(
    condition: RawCondition, operator: Operator | None, own: Mapping[str, ServiceEntry]
) -> Iterator[PolicyFinding]:
    key, path = condition.key, condition.path
    prefix, colon, name = key.partition(":")
    if not colon or not prefix or not name or " " in key:
        yield PolicyFinding("INVALID_CONDITION_KEY_FORMAT", path, key, of_key=True)
        return
    if key.lower().endswith("tag/"):
        yield PolicyFinding("MISSING_TAG_KEY_IN_CONDITION", path, key, of_key=True)
        return
    kind, several = _rule(key, own)
    if operator is None or operator.family is None:
        return
    quantifier = operator.quantifier.value
    if several and not quantifier:
        yield PolicyFinding("MISSING_QUALIFIER", path, key, of_key=True)
    if several is False and quantifier == _FORALL:
        code = "FORALLVALUES_WITH_SINGLE_VALUED_KEY"
        if key.lower().endswith(":aud"):
            code = "CONFIRM_AUDIENCE_CLAIM_TYPE"
        yield PolicyFinding(code, path, key, of_key=True)
    group = _find_group(operator.name)
    if kind is None:
        return
    expected = group[2] if group else set(KeyType) - _COMPARED
    if kind not in expected:
        hint = "texts" if group is None else f"what {operator.name} compares"
        yield PolicyFinding("TYPE_MISMATCH", path, key, hint, of_key=True)


def _find_group(
    name: str,
) -> tuple[object, str, set[KeyType]] | None:
    return next((g for begin, g in _GROUPS.items() if name.startswith(begin)), None)


def _rule(
    key: str, own: Mapping[str, ServiceEntry]
) -> tuple[KeyType | None, bool | None]:
    """A key's type, and whether it has several values; None for what is not known."""
    known = find_context_key(key)
    if known is not None:
        # A claim of a token may be a list, whatever its table says.
        if known.source is KeySource.PROOF and not known.multivalued:
            aud = key.lower().endswith(":aud")
            return known.type, False if aud else None
        return known.type, known.multivalued
    prefix = key.lower().partition(":")[0]
    service = own.get(prefix) or find_service(prefix)
    if service is None:
        return None, None
    types = {name.lower(): kind for name, kind in service.condition_keys.items()}
    declared = types.get(key.lower())
    if declared is None:
        return None, None
    name = declared.removeprefix(_LISTS)
    return DECLARED_TYPES.get(name), declared.startswith(_LISTS)


def _values(condition: RawCondition, operator: Operator) -> Iterator[PolicyFinding]:
    path, values = condition.path, list(condition.values())
    if not values:
        suffix = ""
        if operator.quantifier.value:
            suffix = f"_{operator.quantifier.value.upper()}"
        elif operator.if_exists:
            suffix = "_IFEXISTS"
        yield PolicyFinding(f"EMPTY_ARRAY_CONDITION{suffix}", path)
        return
    if operator.family is BOOL and len(values) > 1:
        yield PolicyFinding("INVALID_CONDITION_MULTIPLE_BOOLEAN", path)
    if any(word in operator.name for word in _ORDERED) and len(values) > 1:
        yield PolicyFinding("REDUNDANT_CONDITION_VALUE_NUM", path)
    for at, value in values:
        if not isinstance(value, str | bool):
            yield PolicyFinding("INVALID_CONDITION_DATA_TYPE", at)
            continue
        yield from _value(condition, operator, value, at)


def _value(
    condition: RawCondition, operator: Operator, value: Json, at: Path
) -> Iterator[PolicyFinding]:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if "${" in text:
        return
    group = _find_group(operator.name)
    if operator.family is None or group is not None:
        check = BOOL.check if operator.family is None else operator.family.check
        wrong = check(text)
        if wrong is not None:
            code = "TYPE_MISMATCH_BOOLEAN" if group is None else group[1]
            yield PolicyFinding(code, at, text, wrong)
        elif operator.family is IP_ADDRESS:
            yield from _range(text, at)
        return
    if isinstance(value, bool | NumberText):
        yield PolicyFinding(
            "TYPE_MISMATCH_STRING", at, text, "is not written as a text"
        )
    yield from _text(condition, operator, text, at)


def _range(text: str, at: Path) -> Iterator[PolicyFinding]:
    if "/" not in text or ":" in text:
        return
    network = str(ip_network(text, strict=False))
    if network != text:
        yield PolicyFinding("IMPROVE_IP_RANGE", at, text, network)


def _text(
    condition: RawCondition, operator: Operator, text: str, at: Path
) -> Iterator[PolicyFinding]:
    key = condition.key.lower()
    begin, code = _IDS.get(key, ("", ""))
    if begin and not text.startswith((begin, "*")):
        yield PolicyFinding(code, at, text)
    if operator.family is STRING_EQUALS and ("*" in text or "?" in text):
        code, name = "WILDCARD_WITHOUT_LIKE_OPERATOR", operator.name
        yield PolicyFinding(code, at, text, "StringLike", operator=name)
    elif key == _GITHUB and operator.family is not ARN_LIKE:
        parts = text.removeprefix("repo:").split(":", 1)[0].split("/")
        if len(parts) != _REPOSITORY_PARTS or "*" in "".join(parts) or "?" in text:
            yield PolicyFinding("SPECIFIC_GITHUB_REPO_AND_BRANCH_RECOMMENDED", at, text)


def _variables(
    text: str, path: Path, statement: RawStatement, operator: str, *, takes: bool
) -> Iterator[PolicyFinding]:
    if "${" not in text:
        return
    if not takes:
        yield PolicyFinding("INVALID_VARIABLE_FOR_OPERATOR", path, operator=operator)
        return
    try:
        parse_template(text, variables=True, wildcards=True)
    except InvalidVariable as error:
        yield PolicyFinding(_variable_fault(text, str(error)), path)
        return
    if not statement.has_variables:
        yield PolicyFinding("VARIABLE_UNSUPPORTED_IN_VERSION", path)


def _variable_fault(text: str, wrong: str) -> str:
    for words, code in _VARIABLE_FAULTS:
        if words in wrong:
            return code
    for part in text.split("${")[1:]:
        if not part.partition("}")[0].strip():
            return "EMPTY_VARIABLE"
    return "UNSUPPORTED_SPACE_IN_VARIABLE"
