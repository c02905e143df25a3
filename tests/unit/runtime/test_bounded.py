"""What a process remembers is bounded in bytes, as the interpreter counts them."""

import gc
import json
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from msgspec import Struct

from broker.model.account import AccountId
from broker.policy.compiled import PolicySet, compile_policies
from broker.policy.grammar import PolicyKind, parse_policy
from broker.protocols.oidc.jwks import parse_jwks
from broker.protocols.saml.metadata import parse_metadata
from broker.protocols.sigv4.signature import prepare_signing_key
from broker.runtime.bounded import (
    KEY_CHARACTERS_MAX,
    SHARED,
    BoundedCache,
    CacheMemory,
    Charged,
    measure,
    remembered,
)
from tests.support import certificates, oidc_issuer, saml_idp
from tests.support.policies import allow

ROOT = Path(__file__).parents[3]
MEMORY = 1_000_000
A, B = AccountId("000000000001"), AccountId("000000000002")


class Thing(Struct):
    text: str
    parts: tuple[object, ...] = ()


class Growing(Charged):
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self._charge = None
        self.text = text


@pytest.fixture
def memory() -> CacheMemory:
    return CacheMemory(MEMORY)


@pytest.fixture
def cache(memory: CacheMemory) -> BoundedCache[Any, Any]:
    return BoundedCache(memory)


def test_what_is_put_is_found_under_its_account_and_key(
    cache: BoundedCache[str, object],
) -> None:
    cache.put(A, "key", "value")
    cache.put(A, "nothing", None)
    assert cache.get(A, "key") == "value"
    assert cache.get(B, "key") is None
    assert cache.get(A, "other", "default") == "default"
    assert cache.get(A, "nothing", "default") is None


def test_the_bound_holds_whatever_is_put(
    cache: BoundedCache[int, str], memory: CacheMemory
) -> None:
    for number in range(10_000):
        cache.put(A, number, "x" * (number % 5000))
        assert memory.bytes <= MEMORY
    assert memory.bytes > MEMORY * 0.9
    assert memory.evictions > 0
    assert cache.get(A, 9999) is not None
    assert cache.get(A, 0) is None


def test_what_is_used_stays(cache: BoundedCache[int, str]) -> None:
    cache.put(A, -1, "in use")
    for number in range(20_000):
        cache.put(A, number, "x" * 100)
        assert cache.get(A, -1) == "in use"


def test_one_account_takes_nothing_from_another_below_its_share(
    cache: BoundedCache[int, str], memory: CacheMemory
) -> None:
    other = BoundedCache[int, str](memory)
    for number in range(100):
        cache.put(B, number, "y" * 100)
        other.put(B, number, "y" * 100)
    for number in range(20_000):
        cache.put(A, number, "x" * 100)
    assert all(cache.get(B, number) and other.get(B, number) for number in range(100))
    # And gets its own share from one that has everything.
    for number in range(100, 10_000):
        cache.put(B, number, "y" * 100)
    assert MEMORY * 0.4 < memory.bytes_of(B) < MEMORY * 0.6
    assert MEMORY * 0.4 < memory.bytes_of(A) < MEMORY * 0.6


def test_every_cache_of_an_account_gives_its_part(memory: CacheMemory) -> None:
    first, second = BoundedCache[int, str](memory), BoundedCache[int, str](memory)
    for number in range(2000):
        first.put(A, number, "x" * 100)
    for number in range(2000):
        second.put(A, number, "x" * 100)
    sizes = len(first.keys(A)), len(second.keys(A))
    assert min(sizes) > 200


def test_many_accounts_give_what_they_do_not_use(
    cache: BoundedCache[int, str], memory: CacheMemory
) -> None:
    """One that is busy does not give for many that have little and are idle."""
    for number in range(40):
        cache.put(B, number, "y" * 100)
    for number in range(10_000):
        cache.put(f"{number + 10:012d}", 1, "x" * 100)
        assert all(cache.get(B, key) for key in range(40))
    assert memory.bytes <= MEMORY
    assert len(memory._holders) < 2000


def test_what_is_too_large_is_not_remembered(
    cache: BoundedCache[str, str], memory: CacheMemory
) -> None:
    cache.put(A, "key", "small")
    cache.put(A, "key", "x" * (MEMORY // 4))
    assert cache.get(A, "key") is None
    assert not memory.bytes


def test_what_is_forgotten_counts_no_longer(
    cache: BoundedCache[int, str], memory: CacheMemory
) -> None:
    for number in range(1000):
        cache.put(A, number, "x")
        cache.put(A, number, "another")
        cache.put(B, number, "x")
    for number in range(1000):
        assert cache.discard(A, number)
        assert not cache.discard(A, number)
    assert not memory.bytes_of(A)
    cache.clear(B)
    assert not memory.bytes
    assert not memory._holders


def test_a_cache_that_is_gone_holds_nothing(memory: CacheMemory) -> None:
    cache = BoundedCache[int, str](memory)
    cache.put(A, 1, "x")
    del cache
    gc.collect()
    assert not memory.bytes


def test_a_lower_bound_makes_room(
    cache: BoundedCache[int, str], memory: CacheMemory
) -> None:
    for number in range(1000):
        cache.put(A, number, "x" * 100)
    memory.limit(MEMORY // 10)
    assert memory.bytes <= MEMORY // 10


def test_everything_is_forgotten_at_once(
    cache: BoundedCache[int, object], memory: CacheMemory
) -> None:
    growing = Growing("x" * 1000)
    growing.charge_to(A, memory)
    cache.put(A, 1, growing)
    cache.put(SHARED, 1, "x")
    del growing
    memory.clear()
    assert not memory.bytes
    assert cache.get(A, 1) is None


def test_what_several_entries_hold_counts_once_and_while_it_lives(
    cache: BoundedCache[int, object], memory: CacheMemory
) -> None:
    growing = Growing("x" * 10_000)
    growing.charge_to(A, memory)
    growing.charge_to(B, memory)
    for number in range(10):
        cache.put(A, number, (growing,))
    growing.grow(5000)
    assert 15_000 < memory.bytes_of(A) < 25_000
    assert not memory.bytes_of(B)
    cache.clear(A)
    assert 15_000 < memory.bytes_of(A) < 20_000
    del growing
    assert not memory.bytes


def test_what_grows_makes_room(
    cache: BoundedCache[int, object], memory: CacheMemory
) -> None:
    for number in range(100):
        growing = Growing("")
        growing.charge_to(A, memory)
        cache.put(A, number, growing)
        growing.grow(50_000)
        assert memory.bytes <= MEMORY
    assert 10 < len(cache.keys(A)) < 20


def test_threads_may_share_a_memory(memory: CacheMemory) -> None:
    cache = BoundedCache[int, str](memory)

    def work(account: str) -> None:
        for number in range(20_000):
            cache.put(account, number % 3000, "x" * 200)
            cache.get(A, number % 777)

    threads = [threading.Thread(target=work, args=(a,)) for a in (A, A, B)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0 < memory.bytes <= MEMORY
    for account in (A, B):
        for key in cache.keys(account):
            cache.discard(account, key)
    assert not memory.bytes


@pytest.mark.parametrize(
    "make",
    [
        lambda n: "x" * n,
        lambda n: "\N{PILE OF POO}" * n,
        lambda n: tuple(str(number) for number in range(n)),
        lambda n: {str(number): (number,) for number in range(n)},
        lambda n: [{f"{number}"} for number in range(n)],
        lambda n: tuple(Thing(f"{number}", (str(-number),)) for number in range(n)),
        lambda n: Thing("", tuple([number] for number in range(n))),
        lambda n: [closure(str(number)) for number in range(n)],
    ],
)
def test_a_size_is_what_the_interpreter_takes(make: Callable[[int], object]) -> None:
    make(10)
    gc.collect()
    tracemalloc.start()
    try:
        value = make(10_000)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken * 0.95 <= measure(value) <= taken * 1.6


def closure(text: str) -> Callable[[], str]:
    return lambda: text


def test_a_size_does_not_count_what_there_is_one_of_for_all() -> None:
    assert measure((threading, Thing, KEY_CHARACTERS_MAX)) < 500
    shared = "x" * 1000
    assert measure([shared] * 10) < 3000


def test_a_function_is_computed_once_for_each_argument() -> None:
    calls: list[object] = []

    @remembered()
    def look(*args: object) -> str:
        calls.append(args)
        return f"{args}"

    for _ in range(2):
        assert look("a", 1) == "('a', 1)"
        assert look("b", 1) == "('b', 1)"
    assert calls == [("a", 1), ("b", 1)]


def test_a_function_is_computed_anew_for_long_texts() -> None:
    calls: list[object] = []

    @remembered()
    def look(text: str | bytes) -> int:
        calls.append(text)
        return len(text)

    for text in ("x" * KEY_CHARACTERS_MAX, b"x" * KEY_CHARACTERS_MAX):
        assert look(text) == look(text) == KEY_CHARACTERS_MAX
        assert look(text + text[:1]) == look(text + text[:1])  # type: ignore[operator]
    assert len(calls) == 6


def compiled(number: int) -> object:
    values = [f"*{number}?{n}*" for n in range(20)]
    text = allow("s3:Get*", Condition={"StringLike": {"aws:UserAgent": values}})
    policies = compile_policies([("p", parse_policy(text, PolicyKind.IDENTITY))])
    policies.candidates("s3:GetObject")
    # Itself it is left out where it is measured, since it is charged by itself.
    return [getattr(policies, name, None) for name in PolicySet.__slots__]


def key_set(_: int) -> object:
    return parse_jwks(JWKS)


def certificate(_: int) -> object:
    return x509.load_der_x509_certificate(CERTIFICATE)


def key_of_signatures(number: int) -> object:
    return prepare_signing_key(str(number).encode())


def metadata(number: int) -> object:
    return parse_metadata(METADATA.replace("idp", f"idp{number:x}"), now=None)


JWKS = json.dumps(
    {"keys": [oidc_issuer.jwk_of(oidc_issuer.make_key("RS256"), "k")]}
).encode()
METADATA = saml_idp.metadata_xml()
CERTIFICATE = certificates.issue("web").der


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (compiled, 1_000),
        (key_set, 10_000),
        (certificate, 20_000),
        (key_of_signatures, 20_000),
        (metadata, 5_000),
    ],
)
def test_a_size_is_what_the_process_takes(
    make: Callable[[int], object], number: int
) -> None:
    """Counted in pages of a new process, libraries' objects included.

    What a library holds counts as the largest of its kind.
    """
    call = f"sizes_of({make.__name__!r}, {number})"
    program = f"import json; from {__name__} import sizes_of; print(json.dumps({call}))"
    command = (sys.executable, "-W", "ignore", "-c", program)
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    taken, counted = json.loads(printed)
    assert taken * 0.9 <= counted <= taken * 8


def sizes_of(name: str, number: int) -> tuple[float, int]:
    """What each of so many takes in pages, and what one counts as, in bytes."""
    make = globals()[name]
    kept = [*map(make, range(number // 4))]  # in what the imports left free
    before = anonymous_bytes()
    kept += map(make, range(number))
    taken = (anonymous_bytes() - before) / number
    return taken, measure(kept[-1])


def anonymous_bytes() -> int:
    status = Path("/proc/self/status").read_text("utf-8")
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024
