"""A trust policy in plain language: who may assume the role, on what conditions."""

from collections.abc import Iterator

from msgspec import Struct

from broker.model.arn import Arn
from broker.policy import Condition, Effect, PolicyDocument, Statement
from broker.policy.principal import find_account
from broker.policy.wildcard import compile_wildcard, tokenize

_SHOWN_MAX = 4
_WORDS = {
    "stringequals": "is",
    "stringequalsignorecase": "is",
    "stringlike": "is like",
    "stringnotequals": "is not",
    "stringnotlike": "is not like",
    "arnequals": "is",
    "arnlike": "is like",
    "bool": "is",
    "ipaddress": "is in",
    "notipaddress": "is not in",
    "numericequals": "is",
    "numericlessthan": "is less than",
    "numericlessthanequals": "is at most",
    "numericgreaterthan": "is more than",
    "numericgreaterthanequals": "is at least",
    "datelessthan": "is before",
    "dategreaterthan": "is after",
}


_BROUGHT = (
    ("sts:tagsession", "session tags"),
    ("sts:setsourceidentity", "a source identity"),
)


class TrustLine(Struct, frozen=True):
    """One principal of a statement; ``arn`` is the principal as written.

    ``brings`` says what the statement lets a session bring along.
    """

    denies: bool
    who: str
    arn: str
    conditions: tuple[str, ...]
    actions: tuple[str, ...]
    brings: tuple[str, ...] = ()


def trust_lines(document: PolicyDocument, account: str) -> tuple[TrustLine, ...]:
    """The lines of a trust policy of a role in the account, in document order."""
    return tuple(
        TrustLine(
            denies=statement.effect is Effect.DENY,
            who=who,
            arn=arn,
            conditions=tuple(map(condition_words, statement.conditions)),
            actions=statement.actions,
            brings=tuple(
                words for action, words in _BROUGHT if _names(statement, action)
            ),
        )
        for statement in document.statements
        for who, arn in _subjects(statement, account)
    )


def condition_words(condition: Condition) -> str:
    """A condition as part of a sentence."""
    operator = condition.operator.lower()
    prefix, _, rest = operator.rpartition(":")
    base = rest.removesuffix("ifexists")
    values = condition.values
    if base == "null":
        absent = "true" in [value.lower() for value in values]
        return f"{condition.key} is {'absent' if absent else 'present'}"
    words = _WORDS.get(base, condition.operator)
    listed = " or ".join(values[:_SHOWN_MAX])
    if len(values) > _SHOWN_MAX:
        listed = f"{listed} or {len(values) - _SHOWN_MAX} more"
    many = {"forallvalues": "every value of ", "foranyvalue": "a value of "}
    optional = " (or is absent)" if rest.endswith("ifexists") else ""
    return f"{many.get(prefix, '')}{condition.key} {words} {listed}{optional}"


def _names(statement: Statement, action: str) -> bool:
    """Whether the statement is about an action, given in lower case."""
    is_listed = any(
        compile_wildcard(tokenize(pattern.lower()))(action)
        for pattern in statement.actions
    )
    return is_listed is not statement.not_action


def _subjects(statement: Statement, account: str) -> Iterator[tuple[str, str]]:
    principals = statement.principals
    if principals is None:
        return
    if principals.anyone:
        yield "Anyone with any AWS account", "*"
    for value in principals.aws:
        yield _aws(value, account), value
    for value in principals.federated:
        yield _federated(value), value
    for value in principals.service:
        yield f"The service {value.partition('.')[0]}", value


def _aws(value: str, account: str) -> str:
    if value == "*":
        return "Anyone with any AWS account"
    owner = find_account(value)
    if owner is not None:
        whose = "this account" if owner == account else f"account {owner}"
        return f"Users and roles of {whose}, if their own policies allow it"
    try:
        arn = Arn.parse(value)
    except ValueError:
        # IAM leaves the unique id of a deleted principal in the policy.
        return "A deleted user or role"
    kind, _, name = arn.resource.partition("/")
    named = {
        "user": f"The user {name}",
        "role": f"The role {name}",
        "assumed-role": f"The session {name}",
        "federated-user": f"The federated user {name}",
    }.get(kind, value)
    return named if arn.account == account else f"{named} of account {arn.account}"


def _federated(value: str) -> str:
    kind, _, name = value.split(":", 5)[-1].partition("/")
    if kind == "saml-provider":
        return f"People who sign in through {name} (SAML)"
    if kind == "ldap-provider":
        return f"People of the directory {name}"
    return f"Anyone with a token from {name or value}"
