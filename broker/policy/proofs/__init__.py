"""Questions about all requests at once: is there one that policies allow, and should not?

`question` answers them, over `boxes`, which are statements as sets; `texts` and `points`
are the values of a dimension, and `work` bounds what an answer may take. `witness` says
what a request is that was looked for.
"""

from broker.policy.proofs.checks import (
    Reason,
    Reasons,
    access_not_granted,
    no_new_access,
    no_public_access,
)
from broker.policy.proofs.question import Facts, Prover, Side
from broker.policy.proofs.witness import describe_request, name_caller
from broker.policy.proofs.work import Undecided

__all__ = [
    "Facts",
    "Prover",
    "Reason",
    "Reasons",
    "Side",
    "Undecided",
    "access_not_granted",
    "describe_request",
    "name_caller",
    "no_new_access",
    "no_public_access",
]
