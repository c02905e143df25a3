"""Operations that AWS has and the broker does not."""

from typing import NoReturn

from broker.actions.action import Action, Call
from broker.errors import UnsupportedOperation
from broker.model.request import Params


def unsupported_action(service: str, name: str) -> Action:
    """What answers for an operation that AWS has and the broker does not.

    It refuses after the proof, so that an unauthenticated client learns nothing.
    """

    async def refuse(_given: Params, _call: Call) -> NoReturn:
        raise UnsupportedOperation(f"The operation {name} is not supported.")

    return Action(service=service, name=name, needs=refuse, handle=refuse)
