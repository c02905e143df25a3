"""What a principal's own policies say, apart from those of a session.

An enforcement point with policies of its own combines three answers: an explicit deny
of any side wins, and its own grant may stand where the identity side has none. Where
the broker's rules would not let it stand, the answer is a denial: a boundary or control
policy that does not allow, and a principal of another account, whose own policies must
allow whatever a resource's policy says.
"""

from dataclasses import replace

from broker.actions.decisions.question import Verdict, Word
from broker.permit.guard import Judgement
from broker.policy import (
    ApplicablePolicies,
    Decision,
    PolicySet,
    PolicyType,
    TooMuchWork,
    authorize,
)

DENIED = Verdict(own="deny", session=None)


def split(judgement: Judgement | None) -> Verdict:
    """The verdict of a judgement; a denial if there is none."""
    if judgement is None:
        return DENIED
    layers = judgement.applicable.session
    if judgement.decision.allowed:
        return Verdict(own="allow", session="allow" if layers else None)
    try:
        own = _own(judgement)
        words = {_says(judgement, layer) for layer in layers}
    except TooMuchWork:
        return DENIED
    if not layers:
        return Verdict(own=own, session=None)
    for word in ("deny", "no_match", "allow"):
        if word in words:
            return Verdict(own=own, session=word)
    raise AssertionError(words)


def _own(judgement: Judgement) -> Word:
    request, applicable = judgement.request, judgement.applicable
    decision = judgement.decision
    if applicable.session:
        decision = authorize(request, replace(applicable, session=()))
    word = _word(decision)
    if word != "no_match":
        return word
    is_other = applicable.resource_account not in {None, request.principal.account}
    if is_other or decision.policy_type is not PolicyType.IDENTITY:
        return "deny"
    boundary = applicable.boundary
    silent = boundary is not None and _says(judgement, boundary) != "allow"
    return "deny" if silent else "no_match"


def _says(judgement: Judgement, policies: PolicySet) -> Word:
    """What one set says by itself."""
    return _word(authorize(judgement.request, ApplicablePolicies(identity=policies)))


def _word(decision: Decision) -> Word:
    if decision.allowed:
        return "allow"
    return "deny" if decision.explicit_deny else "no_match"
