"""Everything the broker answers, by service and name."""

from collections.abc import Iterable, Iterator
from typing import NoReturn

from broker.actions.action import Action, Call
from broker.errors import UnsupportedOperation
from broker.model.request import Params
from broker.protocols.json_api import RestService
from broker.protocols.query import Service, flatten


class Registry:
    """The actions of all services, and the models of those that the wire names."""

    def __init__(
        self,
        actions: Iterable[Action],
        services: Iterable[Service] = (),
        rest_services: Iterable[RestService] = (),
    ) -> None:
        self.services = tuple(services)
        self._rest_services = tuple(rest_services)
        self._actions: dict[tuple[str, str], Action] = {}
        for action in actions:
            key = (action.service, action.name)
            if key in self._actions:
                raise ValueError(f"{action.service}:{action.name} is declared twice")
            self._actions[key] = action

    def find(self, service: str, name: str) -> Action | None:
        """The action, or None when it is not built."""
        return self._actions.get((service, name))

    def get(self, service: str, name: str) -> Action:
        """The action that a page or an endpoint of ours performs."""
        return self._actions[service, name]

    def read(self, service: str, name: str, params: Params) -> Params:
        """What a door gives an operation, held to its model as if it came by the wire.

        An action without a model (``signin``) takes it as it is.

        Raises:
            InputRejected: it breaks a constraint.
        """
        for entry in self.services:
            if entry.name == service and name in entry.operations:
                return entry.reader(name)(flatten(params))
        for rest in self._rest_services:
            if rest.name == service and name in rest.operations:
                return rest.read_given(name, params)
        return params

    def __iter__(self) -> Iterator[Action]:
        return iter(self._actions.values())


def unsupported_action(service: str, name: str) -> Action:
    """What answers for an operation that AWS has and the broker does not.

    It refuses after the proof, so that an unauthenticated client learns nothing.
    """

    async def refuse(_given: Params, _call: Call) -> NoReturn:
        raise UnsupportedOperation(f"The operation {name} is not supported.")

    return Action(service=service, name=name, needs=refuse, handle=refuse)
