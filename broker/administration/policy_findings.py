"""Advice on a policy that the grammar accepts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.policy import Effect, PolicyDocument, PolicyKind, Statement
from broker.policy.catalogue import ServiceEntry, unknown_names
from broker.policy.document import VERSION_2008

FINDINGS_MAX = 12
_EVERYTHING = "*"
_PASS_ROLE = frozenset({"iam:passrole", "iam:*", "iam:pass*"})
_ASSUMES_WEB = frozenset({"sts:assumerolewithwebidentity", "sts:*", "*"})


@dataclass(frozen=True, slots=True)
class PolicyAdvice:
    """One piece of advice; ``statement`` counts from 0, None for the whole policy."""

    text: str
    statement: int | None = None


def find_advice(
    document: PolicyDocument, declared: Mapping[str, ServiceEntry] | None = None
) -> tuple[PolicyAdvice, ...]:
    """The advice, at most `FINDINGS_MAX` pieces.

    ``declared`` are the account's registered services.
    """
    advices: list[PolicyAdvice] = []
    for advice in _findings(document, declared):
        if len(advices) == FINDINGS_MAX:
            break
        advices.append(advice)
    return tuple(advices)


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
    for statement in statements:
        if document.kind is PolicyKind.TRUST:
            yield from _trust(statement)
        elif document.kind is PolicyKind.RESOURCE:
            yield from _resource(statement)
        else:
            yield from _permissions(statement)
    for warning in unknown_names(document, declared):
        yield PolicyAdvice(f"{warning}.", _index(statements, warning))


def _index(statements: tuple[Statement, ...], warning: str) -> int | None:
    return next(
        (s.index for s in statements if warning.startswith(f"{s.place}:")), None
    )


def _permissions(statement: Statement) -> Iterator[PolicyAdvice]:
    if statement.effect is Effect.DENY:
        return
    actions = {action.lower() for action in statement.actions}
    everywhere = not statement.not_resource and _EVERYTHING in (
        statement.resources or ()
    )
    limited = bool(statement.conditions)
    if statement.not_action:
        yield PolicyAdvice(
            f"{statement.place}: Allow with NotAction allows every action that is not named,"
            " of every current and future service.",
            statement.index,
        )
        return
    if statement.not_resource:
        yield PolicyAdvice(
            f"{statement.place}: Allow with NotResource allows the actions on every resource"
            " that is not named.",
            statement.index,
        )
    if not everywhere or limited:
        return
    if any(not action.strip("*") for action in actions):
        yield PolicyAdvice(
            f"{statement.place}: it allows all actions on all resources.",
            statement.index,
        )
        return
    whole = sorted(a.partition(":")[0] for a in actions if a.endswith(":*"))
    if whole:
        yield PolicyAdvice(
            f"{statement.place}: it gives full access to {', '.join(whole[:4])} on all"
            " resources.",
            statement.index,
        )
    if actions & _PASS_ROLE:
        yield PolicyAdvice(
            f"{statement.place}: iam:PassRole on all roles allows passing any role to a"
            " service; name the roles instead.",
            statement.index,
        )


def _resource(statement: Statement) -> Iterator[PolicyAdvice]:
    principals = statement.principals
    if statement.effect is Effect.DENY or principals is None or statement.conditions:
        return
    if principals.anyone or _EVERYTHING in principals.aws:
        yield PolicyAdvice(
            f"{statement.place}: every principal of this account is allowed, and those of"
            " other accounts whose own policies allow it.",
            statement.index,
        )


def _trust(statement: Statement) -> Iterator[PolicyAdvice]:
    principals = statement.principals
    if statement.effect is Effect.DENY or principals is None:
        return
    if (
        principals.anyone or _EVERYTHING in principals.aws
    ) and not statement.conditions:
        yield PolicyAdvice(
            f"{statement.place}: any principal of any account may assume the role, if its own"
            " policies allow it.",
            statement.index,
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
            yield PolicyAdvice(
                f"{statement.place}: without a condition on the audience (aud), tokens for"
                " any of the provider's client IDs are accepted.",
                statement.index,
            )
        if "sub" not in keys:
            yield PolicyAdvice(
                f"{statement.place}: without a condition on the subject (sub), everyone at"
                " the provider may assume the role.",
                statement.index,
            )
