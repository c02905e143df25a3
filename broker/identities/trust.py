"""Trust policies: who they name, checked and pinned when they are written.

A user or role named by its ARN is stored by its unique id, so that one that is
deleted and made again is somebody else. Read back, the id shows as the ARN for as
long as its bearer exists, and as the id afterwards.

Source: IAM User Guide, "AWS JSON policy elements: Principal".
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from broker.errors import MalformedPolicyDocument
from broker.identities.documents import checked_document
from broker.identities.limits import Quota, require_within
from broker.identities.names import find_named_resource
from broker.model.account import Account, AccountId
from broker.model.arn import Arn, iam_arn
from broker.model.entities import Role, User
from broker.policy import (
    PolicyKind,
    PolicyRejected,
    check_shared_issuers,
    policy_size,
)
from broker.stores.directory.port import DirectoryReader

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_UNIQUE_ID = re.compile(r"(?:AIDA|AROA)[A-Z2-7]{17}")
_UNIQUE_ID_ANYWHERE = re.compile(r'"(?:AIDA|AROA)[A-Z2-7]{17}"')
_ELEMENTS = ("Principal", "NotPrincipal")

_Replace = Callable[[str], Awaitable[str]]


async def stored_trust_policy(
    directory: DirectoryReader, account: Account, text: str
) -> str:
    """The text to store for a role of the account.

    Raises:
        MalformedPolicyDocument: the document is refused, names a principal that
            does not exist, or opens the role to every tenant of a shared issuer.
        LimitExceeded: it is too large.
    """
    document = checked_document(text, PolicyKind.TRUST)
    try:
        check_shared_issuers(document)
    except PolicyRejected as error:
        raise MalformedPolicyDocument(error.message) from error
    require_within(account, Quota.TRUST_POLICY_SIZE, policy_size(text))

    async def pin(principal: str) -> str:
        pinned = await _find_pinned(directory, account.account_id, principal)
        if pinned is None:
            raise MalformedPolicyDocument(
                f'Invalid principal in policy: "AWS":"{principal}"'
            )
        return pinned

    return await _with_principals(text, pin)


class PrincipalNames:
    """Turns stored trust policies into the text that readers get.

    Each unique id is looked up once, however many roles name it.
    """

    def __init__(self, directory: DirectoryReader) -> None:
        self._directory = directory
        self._known: dict[str, str] = {}

    async def shown(self, trust_policy: str) -> str:
        """The trust policy with ARNs for the ids whose bearers exist."""
        if _UNIQUE_ID_ANYWHERE.search(trust_policy) is None:
            return trust_policy
        return await _with_principals(trust_policy, self._name)

    async def _name(self, principal: str) -> str:
        if not _UNIQUE_ID.fullmatch(principal):
            return principal
        if principal not in self._known:
            self._known[principal] = await self._look_up(principal)
        return self._known[principal]

    async def _look_up(self, unique_id: str) -> str:
        account = await self._directory.find_owner_account(unique_id)
        if account is None:
            return unique_id
        bearer = await _find_bearer(self._directory, account, unique_id)
        return unique_id if bearer is None else bearer.arn


async def _find_pinned(
    directory: DirectoryReader, account: AccountId, principal: str
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


async def _find_named(directory: DirectoryReader, principal: str) -> str | None:
    try:
        arn = Arn.parse(principal)
    except ValueError:
        return None
    owner = AccountId(arn.account)
    if not _ACCOUNT_ID.fullmatch(owner) or await directory.find_account(owner) is None:
        return None
    if arn.resource == "root" or _is_session(arn):
        return principal
    return await _find_unique_id(directory, principal)


def _is_session(arn: Arn) -> bool:
    if arn.service != "sts":
        return False
    kind, *names = arn.resource.split("/")
    expected = {"assumed-role": 2, "federated-user": 1}
    return len(names) == expected.get(kind) and all(names) and "*" not in arn.resource


async def _find_unique_id(directory: DirectoryReader, arn_text: str) -> str | None:
    named = find_named_resource(arn_text, "role")
    if named is not None:
        role = await directory.find_role(named.account, named.name)
        return role.role_id if role is not None and role.arn == arn_text else None
    named = find_named_resource(arn_text, "user")
    if named is not None:
        user = await directory.find_user(named.account, named.name)
        return user.user_id if user is not None and user.arn == arn_text else None
    return None


async def _find_bearer(
    directory: DirectoryReader, account: AccountId, unique_id: str
) -> User | Role | None:
    if unique_id.startswith("AROA"):
        return await directory.find_role_by_id(account, unique_id)
    return await directory.find_user_by_id(account, unique_id)


async def _with_principals(text: str, replace: _Replace) -> str:
    """The document with every ``AWS`` principal replaced; untouched if none changes."""
    document = json.loads(text)
    statements = document["Statement"]
    changed = False
    for statement in statements if isinstance(statements, list) else [statements]:
        for element in _ELEMENTS:
            if await _replace_in(statement.get(element), replace):
                changed = True
    if not changed:
        return text
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


async def _replace_in(
    principal: Mapping[str, Any] | str | None, replace: _Replace
) -> bool:
    if not isinstance(principal, dict) or "AWS" not in principal:
        return False
    before = principal["AWS"]
    if isinstance(before, str):
        principal["AWS"] = await replace(before)
    else:
        principal["AWS"] = [await replace(name) for name in before]
    return bool(principal["AWS"] != before)
