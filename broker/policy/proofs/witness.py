"""A request that answers a question, in words and as data."""

from broker.policy.evaluate import AccessRequest
from broker.policy.strict_json import shorten

_KEYS_NAMED_MAX = 12
_VALUES_NAMED_MAX = 3


def describe_request(request: AccessRequest) -> str:
    """A request in words, cut to a length fit for a message."""
    keys = [
        f"{key} = {', '.join(map(shorten, values[:_VALUES_NAMED_MAX]))}"
        for key, values in sorted(request.context.items())
    ]
    named = keys[:_KEYS_NAMED_MAX]
    if len(keys) > len(named):
        named.append(f"{len(keys) - len(named)} keys more")
    with_keys = f" with {'; '.join(named)}" if named else ""
    resource = shorten(request.resource)
    return f"{request.action} on {resource} by {name_caller(request)}{with_keys}"


def name_caller(request: AccessRequest) -> str:
    """The ARN of who asks, or what kind of caller has none."""
    return request.principal.arn or request.principal.type.value
