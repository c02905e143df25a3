"""Whether an action is worth offering: may it be allowed on some resource at all?

It errs towards yes, never towards no as far as the caller's own policies go: the real
decision is made when the action is performed.
"""

from collections.abc import Iterable

from broker.policy.compiled import CompiledStatement, PolicySet
from broker.policy.context import KeySource
from broker.policy.document import Condition
from broker.policy.evaluate import ApplicablePolicies
from broker.policy.issuer_claims import find_context_key
from broker.policy.variables import Context, find_variables

_STILL_OPEN = frozenset({KeySource.PARAMETER, KeySource.RESOURCE})


def could_be_allowed(
    action: str, context: Context, applicable: ApplicablePolicies
) -> bool:
    """False when no resource can exist on which ``action`` would be allowed.

    Every layer must have an Allow for the action whose conditions may hold, whatever
    its resources, and none a Deny that holds for all resources. Policies of resources
    have no say. ``context`` is what the caller brings to every call; what a call and
    its resource would bring may have any value.
    """
    identity = applicable.identity
    if identity is None:
        return False
    layers = [identity, *applicable.session, *applicable.service_controls]
    if applicable.boundary is not None:
        layers.append(applicable.boundary)
    return all(_allows_some(policies, action, context) for policies in layers)


def _allows_some(policies: PolicySet, action: str, context: Context) -> bool:
    candidates = policies.candidates(action)
    if any(
        _covers_all(deny, context) and _holds(deny, context, when_open=False)
        for deny in candidates.denies
    ):
        return False
    return any(_holds(allow, context, when_open=True) for allow in candidates.allows)


def _covers_all(deny: CompiledStatement, context: Context) -> bool:
    if deny.resource is None:
        return True
    return deny.source.not_resource and not any(
        _may_name(deny, arn, context) for arn in deny.source.resources or ()
    )


def _may_name(statement: CompiledStatement, arn: str, context: Context) -> bool:
    """Whether a pattern names anything: a variable without a value names nothing."""
    needed = find_variables((arn,)) if statement.variables else ()
    return all(
        variable.resolve(context) is not None or _is_open((variable.name,), context)
        for variable in needed
    )


def _holds(statement: CompiledStatement, context: Context, *, when_open: bool) -> bool:
    """Whether all conditions hold; those that only a call can decide do ``when_open``."""
    return all(
        when_open
        if _is_open(_keys(condition, variables=statement.variables), context)
        else holds(context)
        for condition, holds in zip(
            statement.source.conditions, statement.conditions, strict=True
        )
    )


def _keys(condition: Condition, *, variables: bool) -> Iterable[str]:
    named = find_variables(condition.values) if variables else ()
    return (condition.key, *(variable.name for variable in named))


def _is_open(keys: Iterable[str], context: Context) -> bool:
    """Whether a call can bring a key that the caller alone does not."""
    for key in keys:
        if key.lower() not in context:
            known = find_context_key(key)
            if known is None or known.source in _STILL_OPEN:
                return True
    return False
