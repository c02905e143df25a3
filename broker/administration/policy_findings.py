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
    found: list[PolicyAdvice] = []
    for one in _findings(document, declared):
        if len(found) == FINDINGS_MAX:
            break
        found.append(one)
    return tuple(found)


def _findings(
    document: PolicyDocument, declared: Mapping[str, ServiceEntry] | None
) -> Iterator[PolicyAdvice]:
    statements = document.statements
    if document.version == VERSION_2008:
        yield PolicyAdvice(
            "Without Version 2012-10-17, policy variables such as ${aws:username} are"
            " plain text."
        )
    if all(one.effect is Effect.DENY for one in statements):
        yield PolicyAdvice(
            "It has only Deny statements, so no one can assume the role."
            if document.kind is PolicyKind.TRUST
            else "It has only Deny statements: it restricts other policies and grants"
            " nothing itself."
        )
    for one in statements:
        if document.kind is PolicyKind.TRUST:
            yield from _trust(one)
        elif document.kind is PolicyKind.RESOURCE:
            yield from _resource(one)
        else:
            yield from _permissions(one)
    for warning in unknown_names(document, declared):
        yield PolicyAdvice(f"{warning}.", _index(statements, warning))


def _index(statements: tuple[Statement, ...], warning: str) -> int | None:
    return next(
        (s.index for s in statements if warning.startswith(f"{s.place}:")), None
    )


def _permissions(one: Statement) -> Iterator[PolicyAdvice]:
    if one.effect is Effect.DENY:
        return
    actions = {action.lower() for action in one.actions}
    everywhere = not one.not_resource and _EVERYTHING in (one.resources or ())
    limited = bool(one.conditions)
    if one.not_action:
        yield PolicyAdvice(
            f"{one.place}: Allow with NotAction allows every action that is not named,"
            " of every current and future service.",
            one.index,
        )
        return
    if one.not_resource:
        yield PolicyAdvice(
            f"{one.place}: Allow with NotResource allows the actions on every resource"
            " that is not named.",
            one.index,
        )
    if not everywhere or limited:
        return
    if any(not action.strip("*") for action in actions):
        yield PolicyAdvice(
            f"{one.place}: it allows all actions on all resources.", one.index
        )
        return
    whole = sorted(a.partition(":")[0] for a in actions if a.endswith(":*"))
    if whole:
        yield PolicyAdvice(
            f"{one.place}: it gives full access to {', '.join(whole[:4])} on all"
            " resources.",
            one.index,
        )
    if actions & _PASS_ROLE:
        yield PolicyAdvice(
            f"{one.place}: iam:PassRole on all roles allows passing any role to a"
            " service; name the roles instead.",
            one.index,
        )


def _resource(one: Statement) -> Iterator[PolicyAdvice]:
    principals = one.principals
    if one.effect is Effect.DENY or principals is None or one.conditions:
        return
    if principals.anyone or _EVERYTHING in principals.aws:
        yield PolicyAdvice(
            f"{one.place}: every principal of this account is allowed, and those of"
            " other accounts whose own policies allow it.",
            one.index,
        )


def _trust(one: Statement) -> Iterator[PolicyAdvice]:
    principals = one.principals
    if one.effect is Effect.DENY or principals is None:
        return
    if (principals.anyone or _EVERYTHING in principals.aws) and not one.conditions:
        yield PolicyAdvice(
            f"{one.place}: any principal of any account may assume the role, if its own"
            " policies allow it.",
            one.index,
        )
    web = [
        arn
        for arn in principals.federated
        if ":saml-provider/" not in arn and ":ldap-provider/" not in arn
    ]
    keys = {condition.key.lower().rpartition(":")[2] for condition in one.conditions}
    if web and _ASSUMES_WEB & {action.lower() for action in one.actions}:
        if "aud" not in keys:
            yield PolicyAdvice(
                f"{one.place}: without a condition on the audience (aud), tokens for"
                " any of the provider's client IDs are accepted.",
                one.index,
            )
        if "sub" not in keys:
            yield PolicyAdvice(
                f"{one.place}: without a condition on the subject (sub), everyone at"
                " the provider may assume the role.",
                one.index,
            )
