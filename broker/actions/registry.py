"""Everything the broker answers, by service and name."""

from collections.abc import Iterable, Iterator

from broker.actions.action import Action


class Registry:
    """The actions of all services."""

    def __init__(self, actions: Iterable[Action]) -> None:
        self._actions: dict[tuple[str, str], Action] = {}
        for action in actions:
            key = (action.service, action.name)
            if key in self._actions:
                raise ValueError(f"{action.service}:{action.name} is declared twice")
            self._actions[key] = action

    def find(self, service: str, name: str) -> Action | None:
        """The action, or None when it is not built."""
        return self._actions.get((service, name))

    def __iter__(self) -> Iterator[Action]:
        return iter(self._actions.values())
