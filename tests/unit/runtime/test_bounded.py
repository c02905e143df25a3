from broker.runtime.bounded import BoundedCache


def test_the_least_recently_used_goes_first() -> None:
    cache = BoundedCache[str, str](2)
    for key in "ab":
        cache.put(key, key)
    cache.move_to_end("a")
    cache.put("c", "c")
    assert list(cache) == ["a", "c"]


def test_what_is_remembered_has_a_size() -> None:
    cache = BoundedCache[str, str](9, 10, len)
    cache.put("a", "four")
    cache.put("b", "four")
    cache.put("a", "fives")
    assert list(cache) == ["b", "a"]
    cache.put("c", "12")
    assert list(cache) == ["a", "c"]
    cache.put("a", "more than ten")
    assert list(cache) == ["c"]
    cache.drop("c")
    cache.drop("c")
    cache.put("d", "ten of them")
    cache.put("d", "ten of all")
    assert list(cache) == ["d"]
