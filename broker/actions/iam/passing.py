"""``iam:PassRole``: the permission to hand a role to a service.

Source: IAM User Guide, "Grant a user permissions to pass a role to an AWS service".
"""

from dataclasses import replace

from broker.actions.action import Action, Call
from broker.actions.iam.declare import Target
from broker.model.request import Given
from broker.permit.need import Need


def passing(action: Action, role: Target, service: str) -> Action:
    """The action, which then also needs permission to pass ``role`` to a service."""

    async def needs(given: Given, call: Call) -> tuple[Need, ...]:
        own = await action.needs(given, call)
        passed = await role(given, call)
        return (
            *own,
            Need(
                action="iam:PassRole",
                resource=passed.arn,
                account=call.account,
                context={**passed.context, "iam:passedtoservice": (service,)},
            ),
        )

    return replace(action, needs=needs)
