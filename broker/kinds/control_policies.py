"""An account's service and resource control policies, and its invariants.

They are kept in the account's ``options`` as lists of names and texts. Those of a
kind stand on one level: what none of the service control policies allows, no
principal of the account may do. Resource control policies only deny, as in AWS.
Invariants deny nothing: writes that let a principal do what they match are refused.

Source: Organizations User Guide, "Service control policies", "Resource control
policies" and "Quotas".
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from itertools import pairwise

from msgspec import Struct

from broker.model.account import Account
from broker.policy import (
    Effect,
    PolicyDocument,
    PolicyKind,
    PolicyRejected,
    parse_policy,
    policy_size,
)

CHARACTERS_MAX = 5120
"""Of one policy, without white space."""

FULL_ACCESS = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
"""What stands beside all resource control policies: ``RCPFullAWSAccess``."""

_ARN_PARTS = 6


class ControlKind(StrEnum):
    """The kinds, by the names of the account's options."""

    SERVICE = "ServiceControlPolicies"
    RESOURCE = "ResourceControlPolicies"
    INVARIANT = "Invariants"

    @property
    def grammar(self) -> PolicyKind:
        """How their documents are written."""
        return _GRAMMARS[self]

    @property
    def policies_max(self) -> int:
        """How many an account can have."""
        return 10 if self is ControlKind.INVARIANT else 5


_GRAMMARS = {
    ControlKind.SERVICE: PolicyKind.CONTROL,
    ControlKind.RESOURCE: PolicyKind.RESOURCE,
    ControlKind.INVARIANT: PolicyKind.IDENTITY,
}


class ControlPolicy(Struct, frozen=True):
    """One control policy: its name and text."""

    name: str
    text: str


def control_policies(account: Account, kind: ControlKind) -> tuple[ControlPolicy, ...]:
    """The account's control policies of a kind, in the operator's order."""
    listed = account.options.get(kind.value, ())
    if not isinstance(listed, list):
        return ()
    return tuple(
        ControlPolicy(str(item["PolicyName"]), str(item["PolicyDocument"]))
        for item in listed
        if isinstance(item, Mapping)
    )


def option_value(policies: Iterable[ControlPolicy]) -> list[dict[str, str]]:
    """Control policies in the form that the account's options keep."""
    return [
        {"PolicyName": policy.name, "PolicyDocument": policy.text}
        for policy in policies
    ]


def check_control_policies(
    kind: ControlKind, policies: Iterable[ControlPolicy]
) -> None:
    """Judge control policies before they are kept.

    Raises:
        ValueError: one is no such policy, too long, or named like another.
    """
    listed = tuple(policies)
    if len(listed) > kind.policies_max:
        raise ValueError(
            f"there are {len(listed)}; an account can have {kind.policies_max}"
        )
    names = sorted(policy.name for policy in listed)
    for text, other in pairwise(names):
        if text == other:
            raise ValueError(f"the name {text} comes twice")
    for policy in listed:
        size = policy_size(policy.text)
        if size > CHARACTERS_MAX:
            raise ValueError(
                f"{policy.name} has {size} characters; at most {CHARACTERS_MAX} fit"
            )
        parse_control_policy(kind, policy)


def parse_control_policy(kind: ControlKind, policy: ControlPolicy) -> PolicyDocument:
    """The document of a control policy.

    Raises:
        ValueError: the text is not a policy of this kind.
    """
    try:
        document = parse_policy(policy.text, kind.grammar)
    except PolicyRejected as error:
        raise ValueError(f"{policy.name}: {error}") from error
    if kind is ControlKind.RESOURCE:
        for statement in document.statements:
            for_everyone = statement.principals is not None and (
                statement.principals.anyone and not statement.not_principal
            )
            if statement.effect is not Effect.DENY or not for_everyone:
                raise ValueError(
                    f"{policy.name}: {statement.place}: a resource control policy"
                    ' only denies, and to everyone; write "Effect": "Deny",'
                    ' "Principal": "*"'
                )
    if kind is ControlKind.INVARIANT:
        for statement in document.statements:
            place = f"{policy.name}: {statement.place}"
            if statement.effect is not Effect.DENY:
                raise ValueError(
                    f"{place}: an invariant says what no principal may do; write"
                    ' "Effect": "Deny"'
                )
            for text in statement.resources or ():
                if text.strip("*") and text.count(":") < _ARN_PARTS - 1:
                    raise ValueError(
                        f"{place}: {text[:200]} is compared part by part; write a whole"
                        ' ARN, such as arn:aws:s3:::backups/*, or "*"'
                    )
    return document
