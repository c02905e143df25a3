"""The one kind of cache: what a process remembers, bounded by bytes.

What an entry holds is measured when it is put in. All caches of a process count into one
`CacheMemory`. Beyond its bound, the account that holds most gives up what it has not used
for longest, if it holds more than its share; otherwise what was not used goes, whosever it
is. So an account has a share that no other takes, and all that no other needs.
What this leaves to the callers: which entries a change makes wrong.
"""

import gc
import sys
import weakref
from collections.abc import Callable, Hashable
from enum import Enum
from functools import partial, wraps
from threading import RLock
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
P = ParamSpec("P")
Default = TypeVar("Default")

SHARED = ""
"""The holder of what belongs to no account."""

_BYTES_MAX = 64 * 1024 * 1024
_ENTRY_PART = 4
"""An entry may have this part of the bound; a larger one is not remembered."""

_ENTRY_BYTES = 240
"""Of an entry besides key and value: its slots in two dictionaries, their room to grow."""

_SHELF_BYTES = 640
_OPAQUE_BYTES = {"HMAC": 768, "RSAPrivateKey": 12_288}
_OPAQUE_BYTES_ELSE = 4096
"""Of what a library holds where the interpreter cannot look: a key, a certificate."""

KEY_CHARACTERS_MAX = 300
"""Of a text that a function's value is remembered for: as long as a Host header."""

_ROOM_PART = 64
"""Beyond the bound, this part of it is made free at once."""

_SHARES = 16
"""An account that has no more than this part is not asked first."""

_GIVEN_PART = 16
"""What a holder gives up of one cache before the next one's turn."""

_ENTERED = (
    tuple,
    list,
    dict,
    set,
    frozenset,
    CellType,
    MethodType,
    MethodWrapperType,
    BuiltinFunctionType,
    MappingProxyType,
    partial,
)
_COMMON = (type, ModuleType, Enum, CodeType, type(None), bool, type(NotImplemented))
"""Of what there is one for all."""

_TEXT, _INSIDE, _FUNCTION, _OPAQUE, _APART = range(5)
_WAYS: dict[type, int] = {}


class Charge:
    """Bytes that a holder is charged with for as long as this object is kept."""

    __slots__ = ("_bytes", "_holder", "_memory")

    def __init__(self, memory: "CacheMemory", holder: "_Holder", size: int) -> None:
        self._memory = memory
        self._holder = holder
        self._bytes = 0
        self.grow(size)

    def grow(self, size: int) -> None:
        """Add bytes; less than none for what was given up."""
        with self._memory.lock:  # any thread may use what is charged
            self._bytes += size
            self._memory.add(self._holder, size)

    def __del__(self) -> None:
        self._memory.add(self._holder, -self._bytes)


class Charged:
    """What several entries may hold, and what may grow: charged once, while it lives.

    It is left out where it is part of an entry.
    """

    __slots__ = ("_charge",)
    _charge: Charge | None

    def charge_to(self, account: str, memory: "CacheMemory | None" = None) -> None:
        """Charge the account with all of it; only the first time counts."""
        if self._charge is None:
            size = sys.getsizeof(self) + measure(gc.get_referents(self))
            self._charge = (memory or CACHES).charge(account, size)

    def grow(self, size: int) -> None:
        """It has more bytes now, or less."""
        if self._charge is not None:
            self._charge.grow(size)


class _Holder:
    """An account, or the process itself, with what it holds in all caches."""

    __slots__ = ("account", "bytes", "shelves")

    def __init__(self, account: str) -> None:
        self.account = account
        self.bytes = 0
        self.shelves: dict[_Shelf, None] = {}


class _Shelf:
    """What one cache remembers for one holder.

    It is two halves: what is used moves from the old one to the young one. What is still
    in the old one at its turn is given up, and then the young one becomes old.
    """

    __slots__ = ("holder", "home", "old", "order", "young")

    def __init__(self, holder: _Holder, home: "dict[str, _Shelf]") -> None:
        self.holder = holder
        self.home = home
        self.young: dict[Any, tuple[Any, int]] = {}
        self.old: dict[Any, tuple[Any, int]] = {}
        self.order: list[Any] = []
        """The keys of the old half that go next, the first at the end."""

    def turn(self) -> None:
        """Make the young half old; it has until the next time to be used."""
        self.order = [*reversed(self.old)]
        self.old.update(self.young)
        self.young = {}


class CacheMemory:
    """What the caches of a process hold together, in bytes."""

    def __init__(self, bytes_max: int = _BYTES_MAX) -> None:
        self.bytes = 0
        self.bytes_max = bytes_max
        self.evictions = 0
        """Entries that were given up for others, since the process began."""

        self.bytes_freed = 0
        """What entries had that were forgotten or replaced, since then."""

        self._holders: dict[str, _Holder] = {}
        # Objects may be freed at any time, also while this holds it.
        self.lock = RLock()

    def limit(self, bytes_max: int) -> None:
        """Set the bound."""
        self.bytes_max = bytes_max
        self._make_room()

    def clear(self) -> None:
        """Forget everything that any cache remembers."""
        with self.lock:
            for holder in [*self._holders.values()]:
                for shelf in [*holder.shelves]:
                    self.empty(shelf)

    def charge(self, account: str, size: int) -> Charge:
        """Charge an account with what it holds elsewhere."""
        with self.lock:
            return Charge(self, self._holder(account), size)

    def bytes_of(self, account: str) -> int:
        """What an account holds."""
        holder = self._holders.get(account)
        return 0 if holder is None else holder.bytes

    def shelf(self, home: dict[str, _Shelf], account: str) -> _Shelf:
        """The place of a cache, which is its ``home``, for an account's entries."""
        shelf = home.get(account)
        if shelf is None:
            holder = self._holder(account)
            shelf = home[account] = _Shelf(holder, home)
            holder.shelves[shelf] = None
            self.add(holder, _SHELF_BYTES)
        return shelf

    def empty(self, shelf: _Shelf) -> None:
        """Forget what is on a shelf, and the shelf."""
        holder = shelf.holder
        if shelf not in holder.shelves:
            return
        del holder.shelves[shelf]
        shelf.home.pop(holder.account, None)
        size = _SHELF_BYTES
        for half in (shelf.young, shelf.old):
            size += sum(entry[1] for entry in half.values())
        shelf.young, shelf.old, shelf.order = {}, {}, []
        self.add(holder, -size)

    def add(self, holder: _Holder, size: int) -> None:
        """Count bytes of a holder; makes room for what is more."""
        with self.lock:
            holder.bytes += size
            self.bytes += size
            if size > 0:
                if self.bytes > self.bytes_max:
                    self._make_room()
            else:
                self.bytes_freed -= size
                if not holder.bytes and not holder.shelves:
                    self._holders.pop(holder.account, None)

    def _holder(self, account: str) -> _Holder:
        holder = self._holders.get(account)
        if holder is None:
            holder = self._holders[account] = _Holder(account)
        return holder

    def _make_room(self) -> None:
        goal = self.bytes_max - self.bytes_max // _ROOM_PART
        with self.lock:
            while self.bytes > goal:
                holders = [h for h in self._holders.values() if h.shelves]
                if not holders:
                    return
                largest = max(holders, key=lambda holder: holder.bytes)
                if largest.bytes > self.bytes_max // _SHARES:
                    self._shrink(largest, goal)
                else:
                    self._age(holders, goal)

    def _shrink(self, holder: _Holder, goal: int) -> None:
        """Take a part of what a holder has in the cache that was not asked for longest."""
        shelf = next(iter(holder.shelves))
        del holder.shelves[shelf]
        holder.shelves[shelf] = None
        number = len(shelf.young) + len(shelf.old)
        left = number - -(-number // _GIVEN_PART)
        while len(shelf.young) + len(shelf.old) > left and self.bytes > goal:
            if shelf.order:
                self._evict(shelf, shelf.order.pop())
            else:
                shelf.turn()
        if not shelf.young and not shelf.old:
            self.empty(shelf)

    def _age(self, holders: list[_Holder], goal: int) -> None:
        """Take what was not used since the last time, from one holder after another."""
        for holder in holders:
            for shelf in [*holder.shelves]:
                while shelf.order:
                    if self.bytes <= goal:
                        return
                    self._evict(shelf, shelf.order.pop())
                if not shelf.young and not shelf.old:
                    self.empty(shelf)
                else:
                    shelf.turn()
            if self._holders.pop(holder.account, None) is not None:
                self._holders[holder.account] = holder

    def _evict(self, shelf: _Shelf, key: Hashable) -> None:
        entry = shelf.old.pop(key, None)
        if entry is not None:
            self.evictions += 1
            self.add(shelf.holder, -entry[1])


CACHES = CacheMemory()
"""Of this process."""


class BoundedCache(Generic[Key, Value]):
    """Entries of accounts by key. See the module for what bounds them.

    Reading is two look-ups in dictionaries; who cannot afford the call of ``get`` looks
    into the young halves of ``shelves`` first.
    """

    def __init__(self, memory: CacheMemory = CACHES) -> None:
        self.shelves: dict[str, _Shelf] = {}
        self._memory = memory
        weakref.finalize(self, _empty_all, memory, self.shelves).atexit = False

    @overload
    def get(self, account: str, key: Key) -> Value | None: ...
    @overload
    def get(self, account: str, key: Key, default: Default) -> Value | Default: ...
    def get(
        self, account: str, key: Key, default: Any = None
    ) -> Any:  # of the overloads
        """What is remembered, else the default."""
        shelf = self.shelves.get(account)
        if shelf is None:
            return default
        entry = shelf.young.get(key)
        if entry is None:
            entry = self.recall(shelf, key)
        return default if entry is None else entry[0]

    def recall(self, shelf: _Shelf, key: Key) -> tuple[Value, int] | None:
        """An entry of the old half, which becomes one of the young half."""
        with self._memory.lock:
            entry = shelf.old.pop(key, None)
            if entry is not None:
                shelf.young[key] = entry
            return entry

    def put(self, account: str, key: Key, value: Value, size: int = 0) -> None:
        """Remember a value in place of the key's old one, unless it is too large.

        ``size`` is what `measure` says of a large one, where that ran on another thread.
        """
        memory = self._memory
        size = _ENTRY_BYTES + (size or measure((key, value)))
        with memory.lock:
            self.discard(account, key)
            if size <= memory.bytes_max // _ENTRY_PART:
                shelf = memory.shelf(self.shelves, account)
                shelf.old[key] = value, size
                memory.add(shelf.holder, size)

    def discard(self, account: str, key: Key) -> bool:
        """Forget a value; says whether there was one."""
        shelf = self.shelves.get(account)
        if shelf is None:
            return False
        memory = self._memory
        with memory.lock:
            entry = shelf.young.pop(key, None) or shelf.old.pop(key, None)
            if entry is None:
                return False
            if not shelf.young and not shelf.old:
                memory.empty(shelf)
            memory.add(shelf.holder, -entry[1])
            return True

    def clear(self, account: str) -> None:
        """Forget all that is remembered for an account."""
        with self._memory.lock:
            shelf = self.shelves.get(account)
            if shelf is not None:
                self._memory.empty(shelf)

    def keys(self, account: str) -> list[Key]:
        """The keys of what is remembered for an account."""
        shelf = self.shelves.get(account)
        return [] if shelf is None else [*shelf.young, *shelf.old]


def remembered(
    characters_max: int = KEY_CHARACTERS_MAX,
) -> Callable[[Callable[P, Value]], Callable[P, Value]]:
    """Remember what a function returns for positional arguments that callers vary.

    Not for texts and bytes that are longer: those are computed anew.
    """

    def decorate(function: Callable[P, Value]) -> Callable[P, Value]:
        cache = BoundedCache[tuple[object, ...], Value]()
        shelves = cache.shelves

        @wraps(function)
        def recall(*args: Any) -> Value:  # noqa: ANN401  # the function's own
            shelf = shelves.get(SHARED)
            if shelf is not None:
                entry = shelf.young.get(args) or cache.recall(shelf, args)
                if entry is not None:
                    return cast("Value", entry[0])
            value = function(*args)  # type: ignore[call-arg] # the function's own
            for text in args:
                if isinstance(text, (str, bytes)) and len(text) > characters_max:
                    return value
            cache.put(SHARED, args, value)
            return value

        return cast("Callable[P, Value]", recall)

    return decorate


def _empty_all(memory: CacheMemory, shelves: dict[str, _Shelf]) -> None:
    with memory.lock:
        for shelf in [*shelves.values()]:
            memory.empty(shelf)


def measure(value: object) -> int:
    """The bytes of an object and of what it holds, a little more rather than less.

    What there is one of for all (types, modules, enumerations) does not count, nor does
    what is `Charged`.
    """
    ways, size_of = _WAYS, sys.getsizeof
    total, level = 0, [value]
    seen: set[int] = set()
    while level:
        inside: list[object] = []
        parts: list[object] = []
        for item in level:
            kind = type(item)
            way = ways.get(kind)
            if way is None:
                way = ways[kind] = _way(kind)
            if way == _APART or id(item) in seen:
                continue
            seen.add(id(item))
            total += size_of(item)
            if way == _INSIDE:
                inside.append(item)
                if kind is dict:
                    # The interpreter passes over keys that are texts.
                    parts += cast("dict[object, object]", item)
            elif way == _FUNCTION:
                function = cast("FunctionType", item)
                parts += (function.__closure__, function.__defaults__)
            elif way == _OPAQUE:
                total += _OPAQUE_BYTES.get(kind.__name__, _OPAQUE_BYTES_ELSE)
        level = gc.get_referents(*inside) + parts
    return total + total // 8


def leave_out(*kinds: type) -> None:
    """Do not count values of these types, which exist once, in what holds them."""
    _WAYS.update(dict.fromkeys(kinds, _APART))


def _way(kind: type) -> int:
    if issubclass(kind, (*_COMMON, Charged)):
        return _APART
    if issubclass(kind, FunctionType):
        return _FUNCTION
    module = kind.__module__
    if issubclass(kind, _ENTERED) or module.startswith(("broker.", "tests.")):
        return _INSIDE
    if module in {"builtins", "datetime", "decimal", "uuid", "ipaddress", "re"}:
        return _TEXT
    return _OPAQUE
