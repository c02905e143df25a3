"""Advice on how to allow a denied request."""

from collections.abc import Iterator, Mapping

from broker.permit.guard import Judgement
from broker.policy import Explanation, PolicyType, find_context_key

_CONTROLS = (
    "make the account's {type} allow it: the operator sets it under Broker: with"
    " `broker apply`."
)
_ADVICE: Mapping[PolicyType, str] = {
    PolicyType.IDENTITY: (
        "give {who} a policy with Effect Allow, Action {action} and Resource {resource}."
    ),
    PolicyType.TRUST: (
        'make the trust policy of {resource} allow {action} for {{"{element}": "{who}"}}.'
    ),
    PolicyType.RESOURCE: (
        "the account that owns {resource} must allow {who} in a policy of the resource."
    ),
    PolicyType.BOUNDARY: (
        "make the permissions boundary of {who} allow Action {action} and Resource"
        " {resource} as well, or set another boundary."
    ),
    PolicyType.SESSION: (
        "the session has a session policy that does not allow this; start a session"
        " whose policy allows Action {action} and Resource {resource}."
    ),
    PolicyType.SERVICE_CONTROL: _CONTROLS,
    PolicyType.RESOURCE_CONTROL: _CONTROLS,
}
_NO_ROLE = "check the role's ARN: there is no role {resource} (path and case matter)."


def advice(judged: Judgement) -> str:
    """What would allow the request, or where to look."""
    request, decision = judged.request, judged.decision
    if decision.explicit_deny:
        named = " and ".join(str(ref) for ref in decision.statements)
        return (
            f"change {named}, or exempt this request in its conditions; an Allow"
            " elsewhere does not override a Deny."
        )
    text = _ADVICE[decision.policy_type]
    closest = judged.explain().closest
    if closest is not None:
        text = f"make the request match {closest.statement}, or change it; or {text}"
    if decision.policy_type is PolicyType.TRUST and judged.applicable.resource is None:
        text = _NO_ROLE
    return text.format(
        type=decision.policy_type.value,
        who=request.principal.principal_arn or request.principal.arn,
        action=request.action,
        resource=request.resource,
        element="Federated" if request.principal.federated else "AWS",
    )


def missing_keys_advice(explanation: Explanation) -> Iterator[str]:
    """Where the condition keys come from that the closest statement lacks."""
    if explanation.closest is None:
        return
    for condition in explanation.closest.conditions:
        if explanation.request.context.get(condition.key.lower()):
            continue
        known = find_context_key(condition.key)
        if known is None and "." in condition.key.rpartition(":")[0]:
            yield (
                f"{condition.key} is set from a claim if the provider's option ClaimKeys"
                " names the claim and the token has it."
            )
        elif known is None:
            yield f"{condition.key} is not a condition key that the broker sets."
        else:
            yield f"{condition.key} comes from {known.source.value}: {known.when}."
