"""The session policies of a call: one inline text, up to ten managed ones.

Source: botocore's STS model; recorded answers (REC-S managed_session_policy).
"""

import contextlib
from collections.abc import Mapping
from typing import Any

from broker.errors import MalformedPolicyDocument, ValidationError
from broker.kinds.documents import checked_document
from broker.kinds.managed_policies import find_managed_policy
from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.session import SessionPolicies
from broker.policy import PolicyKind
from broker.policy.catalogue import AWS_MANAGED_PREFIX
from broker.stores.directory.port import DirectoryReader

CHARACTERS_MAX = 2048
"""Inline text and ARNs together, as plain text."""

POLICY_ARNS_MAX = 10


async def read_session_policies(
    params: Mapping[str, Any], account: AccountId, directory: DirectoryReader
) -> tuple[SessionPolicies, ...]:
    """The layer that ``Policy`` and ``PolicyArns`` make; empty without them.

    ``account`` is the role's or user's: managed policies must be there, or AWS's.

    Raises:
        ValidationError: too many ARNs or one missing, or more text than fits.
        MalformedPolicyDocument: the text is not a policy, or an ARN names none.
    """
    text: str | None = params.get("Policy")
    listed = params.get("PolicyArns", ())
    if text is None and not listed:
        return ()
    arns = tuple(_require_arn(item, at) for at, item in enumerate(listed, 1))
    if len(arns) > POLICY_ARNS_MAX:
        raise ValidationError(
            "1 validation error detected: Value at 'policyArns' failed to satisfy"
            f" constraint: Member must have length less than or equal to {POLICY_ARNS_MAX}"
        )
    if len(text or "") + sum(map(len, arns)) > CHARACTERS_MAX:
        raise ValidationError(
            "1 validation error detected: Value at 'policy' failed to satisfy"
            f" constraint: Member must have length less than or equal to {CHARACTERS_MAX}"
        )
    if text is not None:
        checked_document(text, PolicyKind.SESSION)
    ids = [await _require_managed(arn, account, directory) for arn in arns]
    return (SessionPolicies(text, arns, tuple(ids) if any(ids) else ()),)


def _require_arn(item: Mapping[str, str], position: int) -> str:
    """Optional in the model, but a misspelt member must not widen the session."""
    if "arn" not in item:
        raise ValidationError(
            f"1 validation error detected: Value null at 'policyArns.{position}.member.arn'"
            " failed to satisfy constraint: Member must not be null"
        )
    return item["arn"]


async def _require_managed(
    arn: str, account: AccountId, directory: DirectoryReader
) -> str:
    """The policy's unique id; empty for AWS's, which have no namesakes."""
    try:
        Arn.parse(arn)
    except ValueError as error:
        raise ValidationError(f"{arn} is invalid") from error
    with contextlib.suppress(ValidationError):
        policy = await find_managed_policy(directory, account, arn)
        if policy is not None:
            is_aws = arn.startswith(AWS_MANAGED_PREFIX)
            return "" if is_aws else policy.policy_id
    raise MalformedPolicyDocument(
        f"The policy {arn} does not exist in the account of the session's role or user."
    )
