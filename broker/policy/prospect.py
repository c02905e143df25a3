"""Whether an action is worth offering: may it be allowed on some resource at all?

Says yes a little too often, never too seldom as far as the caller's own policies go:
what is offered is decided when it is done.
"""

from broker.policy.compiled import CompiledStatement, PolicySet
from broker.policy.request import Applicable
from broker.policy.variables import Context

_SOME = "*"


def is_conceivable(action: str, context: Context, applicable: Applicable) -> bool:
    """False when no resource is thinkable on which ``action`` would be allowed.

    Every layer must have an Allow for the action whose conditions hold, whatever its
    resources, and none a Deny that holds for all resources. Policies of resources
    have no say.
    """
    identity = applicable.identity
    if identity is None:
        return False
    layers = [identity, *applicable.session, *applicable.service_controls]
    if applicable.boundary is not None:
        layers.append(applicable.boundary)
    return all(_allows_some(policies, action, context) for policies in layers)


def _allows_some(policies: PolicySet, action: str, context: Context) -> bool:
    found = policies.candidates(action)
    if any(
        (deny.resource is None or deny.resource(_SOME, context))
        and _holds(deny, context)
        for deny in found.denies
    ):
        return False
    return any(_holds(allow, context) for allow in found.allows)


def _holds(statement: CompiledStatement, context: Context) -> bool:
    return all(condition(context) for condition in statement.conditions)
