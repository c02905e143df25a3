"""What the catalogue does not know: actions, services, condition keys, forms of ARNs."""

import re
from collections.abc import Iterator

from broker.policy.catalogue import (
    ServiceEntry,
    find_doubt,
    find_key_doubt,
    find_service,
    is_managed_name,
    service_prefixes,
)
from broker.policy.findings.finding import Path, PolicyFinding, RawStatement
from broker.policy.grammar import PATTERN_CHARACTERS_MAX
from broker.runtime.spelling import find_similar

_PARTS = 6
_ACCOUNT = re.compile(r"[0-9]{12}|aws|cloudfront|")
_PARTITION = re.compile(r"aws(?:-[a-z-]+)?|\*")
_BROKER = "broker"
_PLACEHOLDER = re.compile(r"\$\{[^}]*\}")
_GLOBAL = frozenset(
    f"aws:{name}"
    for name in (
        *(
            "principalorgid",
            "principalorgmasteraccountid",
            "principalorgpaths",
            "principalservicenameslist",
        ),
        *("chatbotsourcearn", "ec2instancesourcevpc", "sourcevpc", "sourcevpcarn"),
        *("ec2instancesourceprivateipv4", "sourcevpce", "vpceaccount", "vpceorgid"),
        *("vpceorgpaths", "vpcsourceip", "resourceorgid", "resourceorgpaths"),
        *("calledviafirst", "calledvialast", "sourceorgid", "sourceorgpaths"),
        *(
            "viaawsmcpservice",
            "calledviaawsmcp",
            "signinsessionarn",
            "ismcpserviceaction",
        ),
    )
)
"""AWS's global keys that no request here has.

Source: IAM User Guide, "AWS global condition context keys".
"""


def list_unknown_names(statement: RawStatement) -> Iterator[PolicyFinding]:
    """Names in a statement that mean nothing."""
    for element in ("Action", "NotAction"):
        for path, action in statement.texts(element):
            yield from _action(action, path, statement)
    for condition in statement.conditions():
        key = condition.key
        if find_key_doubt(key, statement.own) is None or key.lower() in _GLOBAL:
            continue
        code = "INVALID_SERVICE_CONDITION_KEY"
        if key.lower().startswith("aws:"):
            code = "INVALID_GLOBAL_CONDITION_KEY"
        if not key.lower().endswith("tag/"):
            yield PolicyFinding(code, condition.path, key, of_key=True)
    for element in ("Resource", "NotResource"):
        for path, resource in statement.texts(element):
            yield from _resource(resource, path, statement)


def _action(
    action: str, path: Path, statement: RawStatement
) -> Iterator[PolicyFinding]:
    prefix, colon, name = action.partition(":")
    lowered = prefix.lower()
    if action == "*" or "${" in action:
        return
    if not colon:
        yield PolicyFinding("INVALID_ACTION", path, action, ": write service:name")
        return
    if "*" in prefix or "?" in prefix:
        yield PolicyFinding("WILDCARD_IN_SERVICE_NAME", path, action)
        return
    if find_doubt(action, statement.own) is None:
        return
    service = statement.own.get(lowered) or find_service(lowered)
    if service is None:
        similar = find_similar(lowered, (*statement.own, *service_prefixes()))
        hint = f": did you mean {similar}" if similar else ""
        yield PolicyFinding("INVALID_SERVICE_IN_ACTION", path, prefix, hint)
        return
    similar = find_similar(name, (entry.name for entry in service.actions.values()))
    hint = f": did you mean {prefix}:{similar}" if similar else ""
    yield PolicyFinding("INVALID_ACTION", path, action, hint)


def _resource(
    text: str, path: Path, statement: RawStatement
) -> Iterator[PolicyFinding]:
    if not text.strip("*"):
        return
    filled = _PLACEHOLDER.sub("*", text)
    parts = filled.split(":", _PARTS - 1)
    if parts[0] != "arn":
        yield PolicyFinding("INVALID_ARN_PREFIX", path, text)
    elif len(parts) > 1 and not _PARTITION.fullmatch(parts[1]):
        yield PolicyFinding("INVALID_PARTITION", path, parts[1])
    elif len(parts) == _PARTS:
        yield from _arn(parts, path, statement)
    elif not filled.endswith("*"):
        yield PolicyFinding("MISSING_ARN_FIELD", path, text)


def _arn(
    parts: list[str], path: Path, statement: RawStatement
) -> Iterator[PolicyFinding]:
    _, _, prefix, _, account, _ = parts
    if not _is_open(account) and not _ACCOUNT.fullmatch(account):
        yield PolicyFinding("INVALID_ARN_ACCOUNT", path, account)
    if _is_open(prefix):
        return
    service = statement.own.get(prefix) or find_service(prefix)
    if prefix != prefix.lower():
        yield PolicyFinding("INVALID_ARN_SERVICE_CASE", path, prefix)
    elif service is not None:
        yield from _of_service(service, parts, path)
    elif prefix != _BROKER and not is_managed_name(f"{prefix}:"):
        yield PolicyFinding("INVALID_SERVICE", path, prefix)


def _is_open(part: str) -> bool:
    return "*" in part or "?" in part


def _of_service(
    service: ServiceEntry, parts: list[str], path: Path
) -> Iterator[PolicyFinding]:
    region, account, resource = parts[3:]
    begin = f":{service.prefix}:"
    arns = [kind.arn for kind in service.resource_types.values() if begin in kind.arn]
    if not arns:
        return
    named = {_PLACEHOLDER.sub("-", arn).split(":", _PARTS - 1)[3] for arn in arns}
    accounts = {_PLACEHOLDER.sub("-", arn).split(":", _PARTS - 1)[4] for arn in arns}
    if region and not _is_open(region) and named == {""}:
        yield PolicyFinding(
            "ARN_REGION_NOT_ALLOWED", path, region, service=service.prefix
        )
    if account and not _is_open(account) and accounts == {""}:
        yield PolicyFinding(
            "ARN_ACCOUNT_NOT_ALLOWED", path, account, service=service.prefix
        )
    if not region and "" not in named:
        yield PolicyFinding("MISSING_ARN_REGION", path, service=service.prefix)
    kinds = [_pattern(arn.split(":", _PARTS - 1)[-1]) for arn in arns]
    if _is_open(resource) or len(resource) > PATTERN_CHARACTERS_MAX:
        return
    if not any(kind.fullmatch(resource) for kind in kinds):
        yield PolicyFinding(
            "INVALID_ARN_RESOURCE", path, resource, service=service.prefix
        )


def _pattern(template: str) -> re.Pattern[str]:
    *parts, last = map(re.escape, _PLACEHOLDER.split(template))
    if not parts:
        return re.compile(last)
    return re.compile("[^:/]*".join(parts) + ".*" + last, re.DOTALL)
