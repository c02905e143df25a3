"""What a refused caller may know about the decision, in AWS's form.

The message is for the caller's account. About another account's role it says nothing
that the caller did not send: neither whether the role exists nor what its trust policy
or tags say.

Source: STS API reference, "DecodeAuthorizationMessage", example.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from broker.model.account import AccountId
from broker.model.session import Caller
from broker.permit.need import Need
from broker.policy import Decision, StatementRef

_VALUE_MAX = 512
_VALUES_MAX = 20
_STATEMENTS_MAX = 20


class MessageSealer(Protocol):
    """Seals messages; ``broker.sessions.messages`` has one."""

    def seal(self, account: AccountId, text: str, now: datetime) -> str | None:
        """The sealed text; None when it is too long to send."""
        ...


def authorization_message(
    caller: Caller,
    need: Need,
    decision: Decision | None,
    context: Mapping[str, tuple[str, ...]],
) -> str:
    """The JSON text of a denial.

    ``context`` holds the keys of the call; what the need adds is shown for the
    caller's own account only.
    """
    own = need.account == caller.account
    visible = decision if own else None
    conditions = {**context, **need.context} if own else context
    principal = caller.principal
    return json.dumps(
        {
            "allowed": False,
            "explicitDeny": visible is not None and visible.explicit_deny,
            "matchedStatements": {
                "items": _statements(() if visible is None else visible.statements)
            },
            "failures": {"items": []},
            "context": {
                "principal": {
                    "id": principal.userid,
                    "name": principal.session_name or principal.username or "",
                    "arn": principal.arn,
                },
                "action": need.action,
                "resource": need.resource,
                "conditions": {
                    "items": [
                        {
                            "key": key,
                            "values": {
                                "items": [
                                    {"value": value[:_VALUE_MAX]}
                                    for value in values[:_VALUES_MAX]
                                ]
                            },
                        }
                        for key, values in conditions.items()
                    ]
                },
            },
        },
        separators=(",", ":"),
    )


def _statements(refs: Iterable[StatementRef]) -> list[dict[str, object]]:
    return [
        {"statementId": ref.sid or "", "policy": ref.policy, "index": ref.index}
        for ref in tuple(refs)[:_STATEMENTS_MAX]
    ]
