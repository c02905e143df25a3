"""The rules that IAM applies to a policy before it is stored.

Stored policies are read by `parse_policy` alone: they were accepted under the rules of
their time, and rejecting one now would deny access.

Source: texts and rules as recorded from IAM by many users and by the authors of public
suites; IAM User Guide, "Resource" and "Version"; Service Authorization Reference, IAM
and S3 (resource types).
"""

from collections.abc import Callable, Iterator

from broker.policy.document import VERSION_2012, PolicyDocument, PolicyKind, Statement
from broker.policy.errors import PolicyRejected, RejectionReason
from broker.policy.grammar import (
    VENDOR_MISSING,
    Problems,
    Stage,
    has_arn_format,
    raise_first,
    read_policy,
)

_LEGACY = "The policy failed legacy parsing"
_VENDOR = "Resource vendor must be fully qualified and cannot contain regexes."
_TRUST_ACTIONS = (
    "Trust Policy statement actions can only be sts:AssumeRole, sts:AssumeRoleWithSAML,"
    "  and sts:AssumeRoleWithWebIdentity"
)
_IAM_PATHS = (
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
)
"""The paths that IAM lists in its message."""

_FURTHER_IAM_PATHS = ("root", "assumed-role/", "delegation-request/", "u2f/")
"""Resources that IAM's message does not list yet."""

_S3_WITH_REGION = (
    "accesspoint/",
    "job/",
    "storage-lens/",
    "storage-lens-group/",
    "access-grants/",
    "async-request/",
)
STS_ACTIONS = frozenset(
    {
        "sts:assumerole",
        "sts:assumerolewithsaml",
        "sts:assumerolewithwebidentity",
        "sts:assumeroot",
        "sts:decodeauthorizationmessage",
        "sts:getaccesskeyinfo",
        "sts:getcalleridentity",
        "sts:getdelegatedaccesstoken",
        "sts:getfederationtoken",
        "sts:getservicebearertoken",
        "sts:getsessiontoken",
        "sts:getwebidentitytoken",
        "sts:setcontext",
        "sts:setsourceidentity",
        "sts:taggetwebidentitytoken",
        "sts:tagsession",
    }
)
"""All resource types of STS, in lower case."""

OWN_STS_ACTIONS = frozenset({"sts:assumerolewithldapidentity"})
"""Those that only the broker has."""

_OLD_VERSION = PolicyRejected(
    RejectionReason.INVALID_VERSION,
    "Policy document must be version 2012-10-17 or greater.",
    "Version",
    'The policy: write "Version": "2012-10-17".',
)

_Wrong = tuple[Stage, str, str]
"""A stage, what IAM says, and what to write."""

_PARTS = 6


def parse_new_policy(
    text: str, kind: PolicyKind, *, managed: bool, knows_service: Callable[[str], bool]
) -> PolicyDocument:
    """Parse a policy that is about to be stored or used for a session.

    ``managed`` is for managed policies, whose version must be the current one.
    ``knows_service`` says whether a service principal exists.

    Raises:
        PolicyRejected: the text breaks the grammar or one of these rules.
    """
    problems: Problems = []
    document = read_policy(text, kind, problems)
    if managed and document.version != VERSION_2012:
        problems.append((Stage.VERSION, _OLD_VERSION))
    for statement in document.statements:
        problems += _of_resources(statement)
        problems += _of_conditions(statement)
        if kind is PolicyKind.TRUST:
            problems += _of_trust(statement, knows_service)
    raise_first(problems)
    return document


def _of_resources(statement: Statement) -> Iterator[tuple[Stage, PolicyRejected]]:
    element = "NotResource" if statement.not_resource else "Resource"
    place = f"{statement.place}, {element}"
    for value in statement.resources or ():
        fault = _find_wrong(value)
        if fault is not None:
            stage, text, advice = fault
            wrong = PolicyRejected(
                RejectionReason.INVALID_RESOURCE, text, place, f"{place}: {advice}."
            )
            yield stage, wrong


def _of_conditions(statement: Statement) -> Iterator[tuple[Stage, PolicyRejected]]:
    for condition in statement.conditions:
        if condition.key.partition(":")[0] and ":" in condition.key:
            continue
        place = f"{statement.place}, Condition {condition.operator}"
        advice = f"{condition.key[:120]} has no service; write for example aws:SourceIp"
        reason = RejectionReason.INVALID_CONDITION
        wrong = PolicyRejected(reason, VENDOR_MISSING, place, f"{place}: {advice}.")
        yield Stage.VENDOR, wrong


def _find_wrong(value: str) -> _Wrong | None:
    """What is wrong with a resource that IAM parses as an ARN."""
    parts = value.split(":", _PARTS - 1)
    if not has_arn_format(value):
        return None  # a star, or the grammar has reported it
    complete = [*parts, *["*"] * (_PARTS - len(parts))]
    _, _, service, region, _, resource = complete
    if "*" in service or "?" in service:
        return Stage.RESOURCES, _VENDOR, "write a service, as in arn:aws:s3:::bucket"
    if not service or ("::" in value and len(parts) < _PARTS):
        advice = f"{value[:120]} is not an ARN; it has six parts with colons between"
        return Stage.LEGACY, _LEGACY, advice
    return _of_service(value, service, region, resource)


def _of_service(value: str, service: str, region: str, resource: str) -> _Wrong | None:
    """IAM's rules for the ARNs of IAM and S3."""
    if service == "s3" and region and not resource.startswith(_S3_WITH_REGION):
        text = f"Resource {value} can not contain region information."
        return Stage.RESOURCES, text, "buckets and objects have no region"
    if service != "iam":
        return None
    if region:
        text = f"IAM resource {value} cannot contain region information."
        return Stage.RESOURCES, text, "IAM has no regions"
    if resource == "*" or resource.startswith(_IAM_PATHS + _FURTHER_IAM_PATHS):
        return None
    text = (
        f'IAM resource path must either be "*" or start with {", ".join(_IAM_PATHS)}.'
    )
    return Stage.RESOURCES, text, f"{resource[:120]} does not"


def _of_trust(
    statement: Statement, knows_service: Callable[[str], bool]
) -> Iterator[tuple[Stage, PolicyRejected]]:
    for action in statement.actions:
        name = action.lower()
        exact = name.startswith("sts:") and "*" not in name and "?" not in name
        if exact and name not in STS_ACTIONS | OWN_STS_ACTIONS:
            place = f"{statement.place}, Action"
            yield (
                Stage.KIND,
                PolicyRejected(
                    RejectionReason.INVALID_ACTION,
                    _TRUST_ACTIONS,
                    place,
                    f"{place}: STS has no {action}.",
                ),
            )
    services = statement.principals.service if statement.principals else ()
    for service in services:
        if not knows_service(service):
            place = f"{statement.place}, Principal"
            yield (
                Stage.KIND,
                PolicyRejected(
                    RejectionReason.INVALID_PRINCIPAL,
                    f'Invalid principal in policy: "SERVICE":"{service}"',
                    place,
                    f"{place}: the broker knows no service of this name.",
                ),
            )
