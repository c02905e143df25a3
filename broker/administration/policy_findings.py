"""Advice on a policy that the grammar accepts."""

from collections.abc import Iterator, Mapping
from itertools import islice

from msgspec import Struct

from broker.policy import Effect, PolicyDocument, PolicyKind, Statement
from broker.policy.catalogue import ServiceEntry, unknown_names
from broker.policy.document import VERSION_2008
from broker.policy.subject_patterns import LOOSE_SUBJECT, find_loose_subjects

FINDINGS_MAX = 12
_EVERYTHING = "*"
_PASS_ROLE = frozenset({"iam:passrole", "iam:*", "iam:pass*"})
_ASSUMES_WEB = frozenset({"sts:assumerolewithwebidentity", "sts:*", "*"})


class PolicyAdvice(Struct, frozen=True):
    """One piece of advice; ``statement`` counts from 0, None for the whole policy."""

    text: str
    statement: int | None = None


def find_advice(
    document: PolicyDocument, declared: Mapping[str, ServiceEntry] | None = None
) -> tuple[PolicyAdvice, ...]:
    """The advice, at most `FINDINGS_MAX` pieces.

    ``declared`` are the account's registered services.
    """
    return tuple(islice(_findings(document, declared), FINDINGS_MAX))


def _findings(
    document: PolicyDocument, declared: Mapping[str, ServiceEntry] | None
) -> Iterator[PolicyAdvice]:
    statements = document.statements
    if document.version == VERSION_2008:
        yield PolicyAdvice(
            "Without Version 2012-10-17, policy variables such as ${aws:username} are"
            " plain text."
        )
    if all(entry.effect is Effect.DENY for entry in statements):
        yield PolicyAdvice(
            "It has only Deny statements, so no one can assume the role."
            if document.kind is PolicyKind.TRUST
            else "It has only Deny statements: it restricts other policies and grants"
            " nothing itself."
        )
    find = _OF_KIND.get(document.kind, _permissions)
    for statement in statements:
        for text in find(statement):
            yield PolicyAdvice(f"{statement.place}: {text}", statement.index)
    for warning in unknown_names(document, declared):
        yield PolicyAdvice(f"{warning}.", _index(statements, warning))


def _index(statements: tuple[Statement, ...], warning: str) -> int | None:
    return next(
        (s.index for s in statements if warning.startswith(f"{s.place}:")), None
    )


def _permissions(statement: Statement) -> Iterator[str]:
    if statement.effect is Effect.DENY:
        return
    actions = {action.lower() for action in statement.actions}
    everywhere = not statement.not_resource and _EVERYTHING in (
        statement.resources or ()
    )
    limited = bool(statement.conditions)
    if statement.not_action:
        yield (
            "Allow with NotAction allows every action that is not named,"
            " of every current and future service."
        )
        return
    if statement.not_resource:
        yield (
            "Allow with NotResource allows the actions on every resource"
            " that is not named."
        )
    if not everywhere or limited:
        return
    if any(not action.strip("*") for action in actions):
        yield "it allows all actions on all resources."
        return
    whole = sorted(a.partition(":")[0] for a in actions if a.endswith(":*"))
    if whole:
        yield f"it gives full access to {', '.join(whole[:4])} on all resources."
    if actions & _PASS_ROLE:
        yield (
            "iam:PassRole on all roles allows passing any role to a"
            " service; name the roles instead."
        )


def _resource(statement: Statement) -> Iterator[str]:
    principals = statement.principals
    if statement.effect is Effect.DENY or principals is None or statement.conditions:
        return
    if principals.anyone or _EVERYTHING in principals.aws:
        yield (
            "every principal of this account is allowed, and those of"
            " other accounts whose own policies allow it."
        )


def _trust(statement: Statement) -> Iterator[str]:
    principals = statement.principals
    if statement.effect is Effect.DENY or principals is None:
        return
    if (
        principals.anyone or _EVERYTHING in principals.aws
    ) and not statement.conditions:
        yield (
            "any principal of any account may assume the role, if its own"
            " policies allow it."
        )
    web = [
        arn
        for arn in principals.federated
        if ":saml-provider/" not in arn and ":ldap-provider/" not in arn
    ]
    keys = {
        condition.key.lower().rpartition(":")[2] for condition in statement.conditions
    }
    if web and _ASSUMES_WEB & {action.lower() for action in statement.actions}:
        if "aud" not in keys:
            yield (
                "without a condition on the audience (aud), tokens for"
                " any of the provider's client IDs are accepted."
            )
        if "sub" not in keys:
            yield (
                "without a condition on the subject (sub), everyone at"
                " the provider may assume the role."
            )
    for pattern in find_loose_subjects(statement):
        yield LOOSE_SUBJECT.format(pattern=pattern)


_OF_KIND = {PolicyKind.TRUST: _trust, PolicyKind.RESOURCE: _resource}
