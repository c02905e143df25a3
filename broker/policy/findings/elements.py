"""What is wrong with the elements of a policy: which stand there, and of what form."""

from collections.abc import Iterator, Mapping

from broker.policy.document import VERSION_2008, VERSION_2012, PolicyKind
from broker.policy.findings.finding import (
    Path,
    PolicyFinding,
    RawStatement,
    is_text,
    list_items,
)
from broker.policy.principal import (
    is_aws_principal,
    is_canonical_user,
    is_federated_principal,
    is_service_principal,
)
from broker.policy.strict_json import Json
from broker.runtime.spelling import find_similar

_TOP = ("Version", "Id", "Statement")
_ELEMENTS = (
    *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction"),
    *("Resource", "NotResource", "Condition"),
)
_PRINCIPAL_TYPES = {
    "AWS": (is_aws_principal, "INVALID_PRINCIPAL_FORMAT"),
    "Federated": (is_federated_principal, "INVALID_PRINCIPAL_FORMAT"),
    "Service": (is_service_principal, "INVALID_SERVICE_PRINCIPAL_FORMAT"),
    "CanonicalUser": (is_canonical_user, "INVALID_PRINCIPAL_FORMAT"),
}
_FEDERATED_IN_TRUST = "INVALID_FEDERATED_PRINCIPAL_SYNTAX_IN_ROLE_TRUST_POLICY"
_BY_SAML, _BY_WEB = "sts:assumerolewithsaml", "sts:assumerolewithwebidentity"
_ROLES_ANYWHERE = "rolesanywhere.amazonaws.com"
_FOR_ROLES_ANYWHERE = ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")
_SOURCES = ("aws:sourcearn", "aws:sourceaccount", "aws:sourceorgid")
_WITHOUT_VARIABLES = ("Sid", "Effect", "Action", "NotAction")
_IDS = {"AROA": "INVALID_ROLE_REFERENCE", "AIDA": "INVALID_USER_REFERENCE"}
_ROLE, _SESSION = ":role/", ":assumed-role/"


def list_policy_faults(value: Json) -> Iterator[PolicyFinding]:
    """What is wrong beside the statements."""
    if not isinstance(value, dict):
        yield PolicyFinding("DATA_TYPE_MISMATCH", hint="a JSON object")
        return
    yield from _unknown(value, (), _TOP)
    if "Version" not in value:
        yield PolicyFinding("MISSING_VERSION")
    elif value["Version"] not in {VERSION_2008, VERSION_2012}:
        yield PolicyFinding("INVALID_VERSION", ("Version",))
    if "Id" in value and not is_text(value["Id"]):
        yield PolicyFinding("DATA_TYPE_MISMATCH", ("Id",), hint="a text")
    if value.get("Statement", []) == []:
        yield PolicyFinding("MISSING_STATEMENT")
        return
    sids: set[str] = set()
    for path, statement in list_items(value["Statement"], ("Statement",)):
        if not isinstance(statement, dict):
            yield PolicyFinding("DATA_TYPE_MISMATCH", path, hint="a JSON object")
            continue
        sid = statement.get("Sid")
        if isinstance(sid, str) and sid in sids:
            yield PolicyFinding("UNIQUE_SIDS_REQUIRED", (*path, "Sid"), sid)
        if isinstance(sid, str) and sid:
            sids.add(sid)


def list_element_faults(statement: RawStatement) -> Iterator[PolicyFinding]:
    """What is wrong with a statement's elements."""
    raw, path = statement.raw, statement.path
    yield from _unknown(raw, path, _ELEMENTS)
    yield from _sid(statement)
    if "Effect" not in raw:
        yield PolicyFinding("MISSING_EFFECT", path)
    elif raw["Effect"] not in {"Allow", "Deny"}:
        yield PolicyFinding("INVALID_EFFECT", (*path, "Effect"))
    for element in ("Action", "Resource", "Principal"):
        if element in raw and f"Not{element}" in raw:
            both = f"{element} and Not{element}"
            yield PolicyFinding("UNSUPPORTED_ELEMENT_COMBINATION", path, both)
    yield from _lists(statement)
    yield from _of_principals(statement)
    if statement.kind is PolicyKind.TRUST:
        yield from _of_trust(statement)


def _unknown(
    raw: Mapping[str, Json], path: Path, known: tuple[str, ...]
) -> Iterator[PolicyFinding]:
    for name in raw:
        if name not in known:
            similar = find_similar(name, known)
            hint = f": did you mean {similar}" if similar else ""
            at = (*path, name)
            yield PolicyFinding("INVALID_POLICY_ELEMENT", at, name, hint, of_key=True)


def _sid(statement: RawStatement) -> Iterator[PolicyFinding]:
    if "Sid" not in statement.raw:
        return
    sid, path = statement.raw["Sid"], (*statement.path, "Sid")
    if not isinstance(sid, str) or not is_text(sid):
        yield PolicyFinding("DATA_TYPE_MISMATCH", path, hint="a text")
    elif not sid:
        yield PolicyFinding("EMPTY_SID_VALUE", path)
    elif statement.kind is not PolicyKind.RESOURCE and not (
        sid.isascii() and sid.isalnum()
    ):
        yield PolicyFinding("UNSUPPORTED_SID", path)


def _lists(statement: RawStatement) -> Iterator[PolicyFinding]:
    raw, path = statement.raw, statement.path
    for element in ("Action", "NotAction", "Resource", "NotResource"):
        if element in raw:
            yield from _list(statement, element)
    if not raw.get("Action") and not raw.get("NotAction"):
        yield PolicyFinding("MISSING_ACTION", path)
    written = raw.get("Resource") or raw.get("NotResource")
    if not written and statement.kind not in {PolicyKind.TRUST, PolicyKind.RESOURCE}:
        yield PolicyFinding("MISSING_RESOURCE", path)
    for element in _WITHOUT_VARIABLES:
        for at, text in statement.texts(element):
            if "${" in text:
                yield PolicyFinding("VARIABLE_UNSUPPORTED_IN_ELEMENT", at, element)


def _list(statement: RawStatement, element: str) -> Iterator[PolicyFinding]:
    value, path = statement.raw[element], (*statement.path, element)
    if value == []:
        yield PolicyFinding(f"EMPTY_ARRAY_{element.removeprefix('Not').upper()}", path)
    for at, item in list_items(value, path):
        if not is_text(item):
            yield PolicyFinding("DATA_TYPE_MISMATCH", at, hint="a text")
    if statement.kind is PolicyKind.TRUST and element.endswith("Resource"):
        code = "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE"
        yield PolicyFinding(code, path, element, of_key=True)


def _of_principals(statement: RawStatement) -> Iterator[PolicyFinding]:
    raw, path, kind = statement.raw, statement.path, statement.kind
    element = next((e for e in ("Principal", "NotPrincipal") if e in raw), None)
    if element is None:
        if kind.is_about_principals:
            yield PolicyFinding("MISSING_PRINCIPAL", path)
        return
    at = (*path, element)
    if kind is PolicyKind.CONTROL and raw[element] != "*":
        yield PolicyFinding("SCP_SYNTAX_ERROR_PRINCIPAL", at, of_key=True)
        return
    if not kind.is_about_principals:
        if kind is not PolicyKind.CONTROL:
            yield PolicyFinding("UNSUPPORTED_PRINCIPAL", at, element, of_key=True)
        return
    if element == "NotPrincipal" and kind is PolicyKind.TRUST:
        code = "ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL"
        yield PolicyFinding(code, at, of_key=True)
    elif element == "NotPrincipal" and statement.allows:
        yield PolicyFinding("ALLOW_WITH_NOT_PRINCIPAL", at, of_key=True)
    yield from _of_block(raw[element], at, kind)
    yield from _of_services(statement)


def _of_block(block: Json, at: Path, kind: PolicyKind) -> Iterator[PolicyFinding]:
    if block == "*":
        return
    if not isinstance(block, dict):
        yield PolicyFinding("INVALID_PRINCIPAL_FORMAT", at, str(block))
        return
    if not block:
        yield PolicyFinding("EMPTY_OBJECT_PRINCIPAL", at)
    for name, values in block.items():
        if name not in _PRINCIPAL_TYPES:
            yield PolicyFinding("INVALID_PRINCIPAL_KEY", (*at, name), name, of_key=True)
            continue
        if values == []:
            yield PolicyFinding("EMPTY_ARRAY_PRINCIPAL", (*at, name))
        for path, value in list_items(values, (*at, name)):
            yield from _of_value(name, value, path, kind)


def _of_value(
    name: str, value: Json, at: Path, kind: PolicyKind
) -> Iterator[PolicyFinding]:
    is_valid, code = _PRINCIPAL_TYPES[name]
    if not isinstance(value, str) or not is_text(value):
        yield PolicyFinding("DATA_TYPE_MISMATCH", at, hint="a text")
    elif "${" in value:
        yield PolicyFinding("VARIABLE_UNSUPPORTED_IN_ELEMENT", at, "Principal")
    elif is_valid(value):
        reference = _IDS.get(value[:4])
        if name == "AWS" and reference is not None:
            yield PolicyFinding(reference, at, value)
    elif name == "AWS" and "*" in value:
        trust = "ROLE_TRUST_POLICY_" if kind is PolicyKind.TRUST else ""
        yield PolicyFinding(f"{trust}UNSUPPORTED_WILDCARD_IN_PRINCIPAL", at, value)
    elif name == "Federated" and kind is PolicyKind.TRUST:
        yield PolicyFinding(_FEDERATED_IN_TRUST, at, value)
    else:
        yield PolicyFinding(code, at, value)


def _of_services(statement: RawStatement) -> Iterator[PolicyFinding]:
    if statement.kind is not PolicyKind.RESOURCE or not statement.allows:
        return
    keys = {condition.key.lower() for condition in statement.conditions()}
    if not keys.isdisjoint(_SOURCES):
        return
    for path, service in statement.principals("Service"):
        yield PolicyFinding("RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL", path, service)


def _of_trust(statement: RawStatement) -> Iterator[PolicyFinding]:
    actions = list(statement.texts("Action"))
    names = {action.lower() for _, action in actions}
    federated = [arn for _, arn in statement.principals("Federated")]
    saml = [arn for arn in federated if ":saml-provider/" in arn]
    web = [a for a in federated if ":saml-provider/" not in a and ":ldap-" not in a]
    for path, action in actions:
        name = action.lower()
        if (name == _BY_SAML and not saml) or (name == _BY_WEB and not web):
            if isinstance(statement.raw.get("Principal"), dict):
                yield PolicyFinding("MISMATCHED_ACTION_FOR_PRINCIPAL", path, action)
        elif name == "sts:assumerole" and federated and len(names) == 1:
            yield PolicyFinding("MISMATCHED_ACTION_FOR_PRINCIPAL", path, action)
    services = [service for _, service in statement.principals("Service")]
    if statement.allows and _ROLES_ANYWHERE in services and not names & {"*", "sts:*"}:
        missing = [n for n in _FOR_ROLES_ANYWHERE if n.lower() not in names]
        if missing:
            code = "MISSING_ACTION_FOR_ROLES_ANYWHERE_TRUST_POLICY"
            yield PolicyFinding(code, (*statement.path, "Action"), ", ".join(missing))
    roles = [arn for _, arn in statement.principals("AWS") if _ROLE in arn]
    for path, arn in statement.principals("AWS"):
        account, _, session = arn.partition(_SESSION)
        name = session.partition("/")[0]
        for role in roles:
            begin = account.replace(":sts:", ":iam:") + _ROLE
            if session and role.startswith(begin) and role.endswith(f"/{name}"):
                code = "REDUNDANT_PRINCIPAL_IN_ROLE_TRUST_POLICY"
                yield PolicyFinding(code, path, arn, role)
