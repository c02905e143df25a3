"""The three checks: what does a policy grant, more than another, or to the public?

AWS's sentences stand first in the answer; what follows in a reason is ours: the request
that makes the check fail, or why it is not decided.

Source: IAM API reference of Access Analyzer; its texts as recorded by the authors of
``cfn-policy-validator`` and ``tf-policy-validator``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from broker.actions.action import Action, Call, needing
from broker.errors import MalformedPolicyDocument, ValidationError
from broker.model.request import Params
from broker.policy import (
    PolicyKind,
    PolicyRejected,
    PolicySet,
    compile_policies,
    parse_policy,
)
from broker.policy.grammar import has_arn_format
from broker.policy.strict_json import shorten
from broker.runtime.offload import offload_steps

if TYPE_CHECKING:
    from broker.policy.proofs import Reason, Reasons

SERVICE = "access-analyzer"
_KINDS = {
    "IDENTITY_POLICY": PolicyKind.IDENTITY,
    "RESOURCE_POLICY": PolicyKind.RESOURCE,
}


class _Words(Struct, frozen=True):
    """AWS's sentences for a check."""

    passes: str
    fails: str
    reason: str


_NOT_GRANTED = {
    (True, False): _Words(
        "The policy document does not grant access to perform one or more of the"
        " listed actions.",
        "The policy document grants access to perform one or more of the listed"
        " actions.",
        "One or more of the listed actions in the statement with",
    ),
    (False, True): _Words(
        "The policy document does not grant access to one or more of the listed"
        " resources.",
        "The policy document grants access to one or more of the listed resources.",
        "One or more of the listed resources in the statement with",
    ),
    (True, True): _Words(
        "The policy document does not grant access to one or more listed resources to"
        " perform one or more listed actions.",
        "The policy document grants access to one or more listed resources to perform"
        " one or more listed actions.",
        "One or more of the listed actions and/or resources in the statement with",
    ),
}
"""By whether actions are listed, and resources."""
_NO_NEW = _Words(
    "The modified permissions do not grant new access compared to your existing policy.",
    "The modified permissions grant new access compared to your existing policy.",
    "New access in the statement with",
)
_NO_PUBLIC = _Words(
    "The resource policy does not grant public access for the given resource type.",
    "The resource policy grants public access for the given resource type.",
    "Public access granted in the following statement with",
)


async def _access_not_granted(params: Params, _call: Call) -> Mapping[str, Any]:
    asked = [_access(entry) for entry in params["access"]]
    if not asked:
        raise ValidationError("Give an access with actions or resources.")
    kind = _KINDS[params["policyType"]]

    def work() -> Reasons:
        from broker.policy.proofs import access_not_granted  # noqa: PLC0415

        policies = _read(params["policyDocument"], kind)
        yield
        return (yield from access_not_granted(policies, asked))

    lists = [any(entry[part] for entry in asked) for part in (0, 1)]
    words = _NOT_GRANTED[lists[0], lists[1]]
    return _answer(await offload_steps(work()), words)


async def _no_new_access(params: Params, _call: Call) -> Mapping[str, Any]:
    kind = _KINDS[params["policyType"]]

    def work() -> Reasons:
        from broker.policy.proofs import no_new_access  # noqa: PLC0415

        new = _read(params["newPolicyDocument"], kind)
        yield
        existing = _read(params["existingPolicyDocument"], kind)
        yield
        return (yield from no_new_access(new, existing))

    return _answer(await offload_steps(work()), _NO_NEW)


async def _no_public_access(params: Params, _call: Call) -> Mapping[str, Any]:
    def work() -> Reasons:
        from broker.policy.proofs import no_public_access  # noqa: PLC0415

        policies = _read(params["policyDocument"], PolicyKind.RESOURCE)
        yield
        return (yield from no_public_access(policies))

    return _answer(await offload_steps(work()), _NO_PUBLIC)


def _read(text: str, kind: PolicyKind) -> PolicySet:
    """A policy that came with the call.

    Raises:
        MalformedPolicyDocument: it breaks the grammar.
    """
    try:
        return compile_policies([("", parse_policy(text, kind))])
    except PolicyRejected as error:
        raise MalformedPolicyDocument(error.message, advice=error.advice) from error


def _access(entry: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]]:
    actions: Sequence[str] = entry.get("actions", ())
    resources: Sequence[str] = entry.get("resources", ())
    if not actions and not resources:
        raise ValidationError("Give actions or resources.")
    for action in actions:
        if action != "*" and not all(action.partition(":")):
            raise ValidationError(f"Invalid action {shorten(action)}")
    if any(text != "*" and not has_arn_format(text) for text in resources):
        raise ValidationError("Invalid ARN")
    return actions, resources


def _answer(reasons: Sequence[Reason], words: _Words) -> Mapping[str, Any]:
    if not reasons:
        return {"result": "PASS", "message": words.passes}
    return {
        "result": "FAIL",
        "message": words.fails,
        "reasons": [dict(_reason(reason, words.reason)) for reason in reasons],
    }


def _reason(reason: Reason, begin: str) -> Mapping[str, Any]:
    from broker.policy.proofs import describe_request  # noqa: PLC0415

    name = f"sid: {reason.sid}" if reason.sid else f"index: {reason.index}"
    more = f"Not decided: {reason.undecided}."
    if reason.request is not None:
        more = f"For example: {describe_request(reason.request)}."
    member = {"statementId": reason.sid} if reason.sid else {}
    return {
        "description": f"{begin} {name}. {more}",
        "statementIndex": reason.index,
        **member,
    }


def _check(name: str, handle: Callable[..., Any], *audited: str) -> Action:
    return Action(
        service=SERVICE,
        name=name,
        needs=needing((f"{SERVICE}:{name}", "")),
        handle=handle,
        audited=audited,
    )


CHECKS = (
    _check("CheckAccessNotGranted", _access_not_granted, "access", "policyType"),
    _check("CheckNoNewAccess", _no_new_access, "policyType"),
    _check("CheckNoPublicAccess", _no_public_access, "resourceType"),
)
