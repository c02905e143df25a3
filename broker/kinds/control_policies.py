"""An account's service and resource control policies: the operator's own option.

They are kept in the account's ``options`` as lists of names and texts. Those of a
kind stand on one level: what none of the service control policies allows, no
principal of the account may do. Resource control policies only deny, as in AWS.

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

POLICIES_MAX = 5
CHARACTERS_MAX = 5120
"""Of one policy, without white space."""


FULL_ACCESS = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}'
"""What stands beside all resource control policies: ``RCPFullAWSAccess``."""


class ControlKind(StrEnum):
    """The two kinds, by the names of the account's options."""

    SERVICE = "ServiceControlPolicies"
    RESOURCE = "ResourceControlPolicies"

    @property
    def grammar(self) -> PolicyKind:
        """How their documents are written."""
        if self is ControlKind.SERVICE:
            return PolicyKind.CONTROL
        return PolicyKind.RESOURCE


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
    if len(listed) > POLICIES_MAX:
        raise ValueError(f"there are {len(listed)}; an account can have {POLICIES_MAX}")
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
    return document
