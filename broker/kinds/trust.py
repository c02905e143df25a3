"""Trust policies: who they name, checked and pinned when they are written.

A user or role named by its ARN is stored by its unique id, so that a new one of the
same name is not trusted. Read back, the id shows as the ARN while its bearer exists,
and as the id afterwards.

Source: IAM User Guide, "AWS JSON policy elements: Principal".
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from broker.errors import MalformedPolicyDocument
from broker.kinds.documents import checked_document
from broker.kinds.limits import Quota, require_within
from broker.kinds.names import find_named_resource
from broker.model.account import Account, AccountId
from broker.model.arn import Arn, iam_arn
from broker.model.entities import Role, User
from broker.policy import PolicyKind, load_document, policy_size
from broker.stores.directory.kinds import ACCOUNT, ROLE, USER
from broker.stores.directory.policies import find_owner_arns
from broker.stores.directory.port import DirectoryReader, Finder

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_UNIQUE_ID = re.compile(r"(?:AIDA|AROA)[A-Z0-9]{17}")
_UNIQUE_ID_ANYWHERE = re.compile(r'"(?:AIDA|AROA)[A-Z0-9]{17}"')
_ELEMENTS = ("Principal", "NotPrincipal")


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
    require_within(account, Quota.TRUST_POLICY_SIZE, policy_size(text))
    checked_document(text, PolicyKind.TRUST)
    return await pin_principals(directory, account.account_id, text)


async def pin_principals(directory: Finder, account: AccountId, text: str) -> str:
    """An accepted document with unique ids for the users and roles that it names.

    Raises:
        UnknownPrincipal: it names a principal that does not exist.
    """
    pinned: dict[str, str] = {}
    for principal in aws_principals(text):
        found = await _find_pinned(directory, account, principal)
        if found is None:
            raise UnknownPrincipal(principal)
        pinned[principal] = found
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
    for principal in _principal_elements(load_document(text)):
        value = principal["AWS"]
        named.update(dict.fromkeys([value] if isinstance(value, str) else value))
    return tuple(named)


def with_principals(text: str, names: Mapping[str, str]) -> str:
    """An accepted document with ``AWS`` principals renamed.

    A document in which nothing changes keeps its very text.
    """
    document = load_document(text)
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
