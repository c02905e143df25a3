"""Roles that a principal's own policies name: what a trust policy decides comes after."""

import re
from collections.abc import Iterator

from broker.policy import PolicySet

_ASSUME = "sts:assumerole"
_ROLE = re.compile(r"arn:aws:iam::[0-9]{12}:role/[\w+=,.@/-]{1,576}", re.ASCII)


def named_roles(identity: PolicySet) -> Iterator[str]:
    """The ARNs of roles that these policies allow to assume, listed by ARN."""
    candidates = identity.candidates(_ASSUME)
    denied = {
        arn
        for statement in candidates.denies
        if not statement.source.conditions and not statement.source.not_resource
        for arn in statement.source.resources or ()
    }
    if "*" in denied:
        return
    for statement in candidates.allows:
        if statement.source.not_resource:
            continue
        for arn in statement.source.resources or ():
            if arn not in denied and _ROLE.fullmatch(arn):
                yield arn
