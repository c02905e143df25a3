"""Policies of the resources of registered services: the rules."""

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from broker.errors import InvalidInput, MalformedPolicyDocument
from broker.kinds.documents import checked_document, pin_principals
from broker.kinds.limits import Quota, require_within
from broker.kinds.rules import finder, require_room
from broker.model.account import Account, AccountId
from broker.model.arn import Arn
from broker.model.registered import RegisteredService, ResourcePolicy
from broker.policy import PolicyDocument, PolicyKind, Statement, policy_size
from broker.policy.wildcard import compile_wildcard, tokenize
from broker.protocols.enforcement.mapping import (
    EXECUTE_API,
    INVOKE,
    RESOURCE_CHARACTERS_MAX,
)
from broker.stores.directory.kinds import RESOURCE_POLICY, SERVICE
from broker.stores.directory.port import DirectoryChange, DirectoryReader

_ARN_PARTS = 6
_WILD = re.compile(r"[*?]|\$\{")


require_resource_policy = finder(RESOURCE_POLICY, "The resource {} has no policy.")


async def put_resource_policy(
    change: DirectoryChange, account: Account, arn: str, text: str, now: datetime
) -> None:
    """Give a resource a policy in place of the one it has.

    It applies to the resource and to everything below it, after a slash.

    Raises:
        InvalidInput: the ARN is of no registered service of the account, or has a
            wildcard.
        MalformedPolicyDocument: the document is refused, names a principal that does
            not exist, or has a statement that can never apply.
        LimitExceeded: it is too large, or there are too many.
    """
    service = await require_resource(change, account.account_id, arn)
    # Check the size first: only a document that is too large takes long to parse.
    require_within(account, Quota.RESOURCE_POLICY_SIZE, policy_size(text))
    _check_applies(checked_document(text, PolicyKind.RESOURCE), service, arn)
    document = await pin_principals(change, account.account_id, text)
    if await change.find(RESOURCE_POLICY, account.account_id, arn) is None:
        await require_room(change, account, RESOURCE_POLICY, Quota.RESOURCE_POLICIES)
    await change.put(
        RESOURCE_POLICY,
        ResourcePolicy(
            account=account.account_id,
            arn=arn,
            document=document,
            created_at=now,
            updated_at=now,
        ),
    )


async def require_resource(
    directory: DirectoryReader, account: AccountId, arn: str
) -> RegisteredService:
    """The registered service whose resource an ARN names.

    Raises:
        InvalidInput: it is not.
    """
    try:
        parsed = Arn.parse(arn)
    except ValueError as error:
        raise InvalidInput(f"{arn[:200]} is not an ARN.") from error
    if len(arn) > RESOURCE_CHARACTERS_MAX or "*" in arn or "?" in arn:
        raise InvalidInput(
            "A policy is put on one resource: write its ARN without wildcards."
        )
    name = parsed.service
    if name == EXECUTE_API:
        name = parsed.resource.partition("/")[0]
    if parsed.account not in {"", account} or parsed.partition != "aws":
        raise InvalidInput(f"{arn} is not of the account {account}.")
    service = await directory.named(SERVICE, account, name)
    if service is None:
        raise InvalidInput(f"{arn} is of no registered service of the account.")
    return service


def _check_applies(
    document: PolicyDocument, service: RegisteredService, arn: str
) -> None:
    """Refuse a statement that can never apply to the resource, or to what is below it.

    The texts are S3's for bucket policies.

    Raises:
        MalformedPolicyDocument: there is one.
    """
    declared = json.loads(service.definition).get("Actions")
    prefix = service.name if declared else EXECUTE_API
    names = [f"{prefix}:{name}".lower() for name in declared or (INVOKE,)]
    for statement in document.statements:
        tests = [
            compile_wildcard(tokenize(action.lower())) for action in statement.actions
        ]
        covered = [any(test(name) for test in tests) for name in names]
        if all(covered) if statement.not_action else not any(covered):
            raise _never(
                statement, "Policy has invalid action", f"{prefix} has no such action"
            )
        resources = statement.resources
        if resources is None or statement.not_resource:
            continue
        if not any(_may_reach(pattern, arn) for pattern in resources):
            advice = f"its Resource is neither {arn[:200]} nor below it"
            raise _never(statement, "Policy has invalid resource", advice)


def _never(statement: Statement, message: str, advice: str) -> MalformedPolicyDocument:
    advice = f"{statement.place}: {advice}, so it would never apply."
    return MalformedPolicyDocument(message, advice=advice)


def _may_reach(pattern: str, arn: str) -> bool:
    """Whether a Resource may match a resource or something below it.

    Of what has wildcards only the text before the first one is compared.
    """
    wanted = pattern.split(":", _ARN_PARTS - 1)
    *values, rest = arn.split(":", _ARN_PARTS - 1)
    if len(wanted) < _ARN_PARTS:
        return True  # a star
    *parts, last = wanted
    below = f"{rest}/"
    head = _WILD.split(last, maxsplit=1)[0]
    is_within = last == rest or last.startswith(below)
    if head != last:
        is_within = below.startswith(head) or head.startswith(below)
    return is_within and all(
        text.startswith(_WILD.split(part, maxsplit=1)[0])
        if _WILD.search(part)
        else text == part
        for part, text in zip(parts, values, strict=True)
    )


class PolicyHolders:
    """The ARNs that have a policy, as a tree of what stands between slashes."""

    def __init__(self, arns: Iterable[str]) -> None:
        self._tree: dict[str | None, Any] = {}
        for arn in arns:
            node = self._tree
            for part in arn.split("/"):
                node = node.setdefault(part, {})
            node[None] = arn

    def find(self, arn: str) -> tuple[str, ...]:
        """The ARNs whose policies hold for a resource, the longest first.

        A policy of ``…:order/7`` applies to ``…:order/7/files/a`` too, as a bucket's
        does to its objects.
        """
        results: list[str] = []
        node = self._tree
        for part in arn.split("/"):
            if part not in node:
                break
            node = node[part]
            if None in node:
                results.insert(0, node[None])
        return tuple(results)
