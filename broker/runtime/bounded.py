"""The one kind of cache: what was used last, within a number and a size."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BoundedCache(OrderedDict[Key, Value]):
    """Evicts the least recently used entries; ``put`` adds one.

    Reading is `dict.get`, without a call of ours, and ``move_to_end`` notes a use: calls
    read several caches. ``weigh`` gives the size of a value.
    """

    def __init__(
        self,
        entries_max: int,
        size_max: int = 0,
        weigh: Callable[[Value], int] = lambda _: 0,
    ) -> None:
        super().__init__()
        self._bounds = entries_max, size_max
        self._weigh = weigh
        self._size = 0

    def put(self, key: Key, value: Value) -> None:
        """Remember a value in place of the key's old one, unless it is too large."""
        self.drop(key)
        size, (entries_max, size_max) = self._weigh(value), self._bounds
        if size <= size_max:
            self[key] = value
            self._size += size
            while len(self) > entries_max or self._size > size_max:
                self.drop(next(iter(self)))

    def drop(self, key: Key) -> None:
        """Forget a value, if there is one."""
        if key in self:
            self._size -= self._weigh(self.pop(key))
