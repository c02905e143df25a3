"""What each side of a principal's policies says, for a gateway with policies of its own."""

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from broker.permit.guard import Judgement
from broker.policy import (
    ApplicablePolicies,
    Check,
    Decision,
    PolicySet,
    PolicyType,
    TooMuchWork,
    authorize,
)

Word = Literal["allow", "deny", "no_match"]


class Verdict(Struct, frozen=True, kw_only=True):
    """What the principal's own policies say, and what the session's policies do.

    An enforcement point with policies of its own combines three answers: an explicit
    deny of any side wins, and its own grant may stand where the identity side has none.
    Where the broker's rules would not let it stand, the answer is a denial: a boundary
    or control policy that does not allow, and a principal of another account, whose own
    policies must allow whatever a resource's policy says. ``session`` is None if none
    narrows the session.
    """

    own: Word
    session: Word | None


DENIED = Verdict(own="deny", session=None)


def split(judgement: Judgement, check: Check) -> Verdict:
    """The verdict of a judgement, of which each side is decided again."""
    layers = judgement.applicable.session
    if judgement.decision.allowed:
        return Verdict(own="allow", session="allow" if layers else None)
    try:
        own = _own(judgement, check)
        words = {_says(judgement, layer, check) for layer in layers}
    except TooMuchWork:
        return DENIED
    if not layers:
        return Verdict(own=own, session=None)
    for word in ("deny", "no_match", "allow"):
        if word in words:
            return Verdict(own=own, session=word)
    raise AssertionError(words)


def _own(judgement: Judgement, check: Check) -> Word:
    request, applicable = judgement.request, judgement.applicable
    decision = judgement.decision
    if applicable.session:
        decision = authorize(request, replace(applicable, session=()), check)
    word = _word(decision)
    if word != "no_match":
        return word
    is_other = applicable.resource_account not in {None, request.principal.account}
    if is_other or decision.policy_type is not PolicyType.IDENTITY:
        return "deny"
    boundary = applicable.boundary
    silent = boundary is not None and _says(judgement, boundary, check) != "allow"
    return "deny" if silent else "no_match"


def _says(judgement: Judgement, policies: PolicySet, check: Check) -> Word:
    """What one set says by itself."""
    alone = ApplicablePolicies(identity=policies)
    return _word(authorize(judgement.request, alone, check))


def _word(decision: Decision) -> Word:
    if decision.allowed:
        return "allow"
    return "deny" if decision.explicit_deny else "no_match"
