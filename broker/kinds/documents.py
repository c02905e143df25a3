"""Policy documents: what is checked before one is stored, and what it grants.

A statement that allows some action of a service grants the service, whatever its
resources and conditions are: the question is what an entity could have used at all.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from broker import policy
from broker.errors import MalformedPolicyDocument
from broker.kinds.limits import Quota, require_within
from broker.kinds.names import find_named_resource
from broker.model.account import Account, AccountId
from broker.model.arn import Arn, iam_arn
from broker.model.entities import Role, User
from broker.policy.catalogue import service_prefixes
from broker.policy.document import Effect
from broker.policy.wildcard import compile_wildcard, tokenize
from broker.stores.directory.kinds import ACCOUNT, ROLE, USER
from broker.stores.directory.policies import find_owner_arns
from broker.stores.directory.port import DirectoryReader, Finder

_NAME = re.compile(
    r"(?:[a-z0-9-]+\.)*?([a-z0-9-]+)(?:\.[a-z]{2}(?:-[a-z]+)+-[0-9])?"
    r"\.(?:amazonaws\.com(?:\.cn)?|amazon\.com|aws\.internal)"
)
_OTHER_NAMES = frozenset(
    {
        "airflow-env",
        "alarms",
        "alexa-appkit",
        "alexa-connectedhome",
        "application-insights",
        "automation",
        "aws-external-anthropic",
        "cloudwatch-crossaccount",
        "config-conforms",
        "config-multiaccountsetup",
        "continuousexport",
        "costoptimizationhub",
        "crowd",
        "customer-profiles",
        "deepcomposer",
        "deepracer",
        "dms-fleet-advisor",
        "ec2fleet",
        "ec2scheduled",
        "ecs-tasks",
        "edgelambda",
        "eks-connector",
        "eks-fargate",
        "eks-fargate-pods",
        "eks-nodegroup",
        "emrwal",
        "hooks",
        "iotthingsgraph",
        "lexv2",
        "macie",
        "migrationhub",
        "monitoring",
        "opensearchservice",
        "osis-pipelines",
        "pinpoint",
        "resourcegroups",
        "servicecatalog-appregistry",
        "spot",
        "spotfleet",
        "stacksets",
        "storage-lens",
        "transitgateway",
        "vmie",
        "vpc-flow-logs",
    }
)

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_UNIQUE_ID = re.compile(r"(?:AIDA|AROA)[A-Z0-9]{17}")
_UNIQUE_ID_ANYWHERE = re.compile(r'"(?:AIDA|AROA)[A-Z0-9]{17}"')
_ELEMENTS = ("Principal", "NotPrincipal")


def is_known_service(principal: str) -> bool:
    """Whether a service principal such as ``ecs-tasks.amazonaws.com`` is a service's."""
    match = _NAME.fullmatch(principal)
    if match is None:
        return False
    return match[1] in _OTHER_NAMES or match[1] in service_prefixes()


def checked_document(
    text: str, kind: policy.PolicyKind, *, managed: bool = False
) -> policy.PolicyDocument:
    """The parsed document of a policy about to be stored or used as a session policy.

    ``managed`` is for managed policies. Principals are not looked up.

    Raises:
        MalformedPolicyDocument: the engine refuses it, or it opens a role to every
            tenant of a shared issuer.
    """
    try:
        return validated_document(text, kind, managed=managed)
    except policy.PolicyRejected as error:
        raise malformed(error) from error


def validated_document(
    text: str, kind: policy.PolicyKind, *, managed: bool = False
) -> policy.PolicyDocument:
    """The same for pages, which show where in the text a mistake is.

    Raises:
        PolicyRejected: as above.
    """
    document = policy.parse_new_policy(
        text, kind, managed=managed, knows_service=is_known_service
    )
    if kind is policy.PolicyKind.TRUST:
        policy.check_shared_issuers(document)
    return document


def malformed(error: policy.PolicyRejected) -> MalformedPolicyDocument:
    """What the wire says of a policy that the engine refuses."""
    return MalformedPolicyDocument(
        error.message,
        detail=f"{error.reason} at {error.place or 'the document'}: {error.message}",
        advice=error.advice,
    )


class UnknownPrincipal(MalformedPolicyDocument):
    """A policy names a principal that does not exist."""

    def __init__(self, principal: str) -> None:
        super().__init__(f'Invalid principal in policy: "AWS":"{principal}"')
        self.principal = principal


async def stored_trust_policy(directory: Finder, account: Account, text: str) -> str:
    """The text to store for a role of the account.

    Raises:
        MalformedPolicyDocument: the document is refused, or opens the role to every
            tenant of a shared issuer.
        UnknownPrincipal: it names a principal that does not exist.
        LimitExceeded: it is too large.
    """
    # Check the size first: only a document that is too large takes long to parse.
    require_within(account, Quota.TRUST_POLICY_SIZE, policy.policy_size(text))
    checked_document(text, policy.PolicyKind.TRUST)
    return await pin_principals(directory, account.account_id, text)


async def pin_principals(directory: Finder, account: AccountId, text: str) -> str:
    """An accepted document with unique ids for the users and roles that it names.

    Raises:
        UnknownPrincipal: it names a principal that does not exist.
    """
    pinned: dict[str, str] = {}
    for principal in aws_principals(text):
        unique = await _find_pinned(directory, account, principal)
        if unique is None:
            raise UnknownPrincipal(principal)
        pinned[principal] = unique
    return with_principals(text, pinned)


def with_root_arns(text: str) -> str:
    """The document with account ids written as their root ARNs, as it is stored."""
    return with_principals(
        text,
        {
            principal: iam_arn(principal, "root")
            for principal in aws_principals(text)
            if _ACCOUNT_ID.fullmatch(principal)
        },
    )


async def shown_trust_policies(
    directory: DirectoryReader, stored: Sequence[str]
) -> list[str]:
    """Trust policies as readers get them: ARNs for the ids whose bearers exist."""
    ids = [
        [name for name in _principals_with_ids(text) if _UNIQUE_ID.fullmatch(name)]
        for text in stored
    ]
    names = await find_owner_arns(directory, {name for named in ids for name in named})
    return [
        with_principals(text, names) if named else text
        for text, named in zip(stored, ids, strict=True)
    ]


def _principals_with_ids(text: str) -> tuple[str, ...]:
    """The principals of a text that may hold ids; most texts need no parsing."""
    if _UNIQUE_ID_ANYWHERE.search(text) is None:
        return ()
    return aws_principals(text)


async def _find_pinned(
    directory: Finder, account: AccountId, principal: str
) -> str | None:
    """How a principal is stored; None when there is no such principal."""
    if principal == "*":
        return principal
    if _UNIQUE_ID.fullmatch(principal):
        known = await _find_bearer(directory, account, principal)
        return None if known is None else principal
    if _ACCOUNT_ID.fullmatch(principal):
        principal = iam_arn(principal, "root")
    return await _find_named(directory, principal)


async def _find_named(directory: Finder, principal: str) -> str | None:
    try:
        arn = Arn.parse(principal)
    except ValueError:
        return None
    owner = AccountId(arn.account)
    if not _ACCOUNT_ID.fullmatch(owner) or await directory.find(ACCOUNT, owner) is None:
        return None
    if arn.resource == "root" or _is_session(arn):
        return principal
    return await _find_unique_id(directory, principal)


def _is_session(arn: Arn) -> bool:
    if arn.service != "sts":
        return False
    kind, *names = arn.resource.split("/")
    expected = {"assumed-role": 2, "federated-user": 1}
    return len(names) == expected.get(kind) and all(names)


async def _find_unique_id(directory: Finder, arn_text: str) -> str | None:
    named = find_named_resource(arn_text, "role")
    if named is not None:
        role = await directory.named(ROLE, named.account, named.name)
        return role.role_id if role is not None and role.arn == arn_text else None
    named = find_named_resource(arn_text, "user")
    if named is not None:
        user = await directory.named(USER, named.account, named.name)
        return user.user_id if user is not None and user.arn == arn_text else None
    return None


async def _find_bearer(
    directory: Finder, account: AccountId, unique_id: str
) -> User | Role | None:
    if unique_id.startswith("AROA"):
        return await directory.find(ROLE, account, unique_id)
    return await directory.find(USER, account, unique_id)


def aws_principals(text: str) -> tuple[str, ...]:
    """The ``AWS`` principals that an accepted document names, each once."""
    named: dict[str, None] = {}
    for principal in _principal_elements(policy.load_document(text)):
        value = principal["AWS"]
        named.update(dict.fromkeys([value] if isinstance(value, str) else value))
    return tuple(named)


def with_principals(text: str, names: Mapping[str, str]) -> str:
    """An accepted document with ``AWS`` principals renamed.

    A document in which nothing changes keeps its very text.
    """
    document = policy.load_document(text)
    changed = False
    for principal in _principal_elements(document):
        before = principal["AWS"]
        if isinstance(before, str):
            principal["AWS"] = names.get(before, before)
        else:
            principal["AWS"] = [names.get(name, name) for name in before]
        changed = changed or principal["AWS"] != before
    if not changed:
        return text
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _principal_elements(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    statements = document["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        for element in _ELEMENTS:
            principal = statement.get(element)
            if isinstance(principal, dict) and "AWS" in principal:
                yield principal


def granted_services(
    documents: Iterable[policy.PolicyDocument], services: Iterable[str]
) -> tuple[str, ...]:
    """Those of ``services`` (action prefixes) that a document allows something of."""
    known = tuple(services)
    results: set[str] = set()
    for document in documents:
        for statement in document.statements:
            if statement.effect is not Effect.ALLOW:
                continue
            if statement.not_action:
                results.update(set(known) - _wholly_named(statement.actions, known))
            else:
                for action in statement.actions:
                    results.update(_named(action, known))
    return tuple(service for service in known if service in results)


def _named(action: str, services: Iterable[str]) -> Iterable[str]:
    prefix, colon, _ = action.lower().partition(":")
    if not colon:
        return services if not prefix.strip("*") else ()
    matches = compile_wildcard(tokenize(prefix))
    return (service for service in services if matches(service))


def _wholly_named(actions: Iterable[str], services: Iterable[str]) -> set[str]:
    """Services of which ``NotAction`` leaves nothing."""
    return {
        service
        for action in actions
        if action.endswith(":*") or not action.strip("*")
        for service in _named(action, services)
    }
