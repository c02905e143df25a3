import hashlib

import pytest

from broker.errors import PackedPolicyTooLarge
from broker.model.session import SessionPolicies
from broker.sessions.packed import packed_policy_size


def noise(count: int, seed: bytes = b"") -> str:
    """Text of 64 characters a piece, which deflates to about half."""
    return "".join(hashlib.sha256(seed + b"%d" % n).hexdigest() for n in range(count))


def noisy_tags(count: int) -> dict[str, str]:
    return {noise(1, b"k%d" % n): noise(4, b"v%d" % n) for n in range(count)}


def inline(text: str) -> SessionPolicies:
    return SessionPolicies(text, ())


@pytest.mark.parametrize(
    ("layers", "tags"),
    [
        ((inline("{}"),), {}),
        ((SessionPolicies(None, ("arn:aws:iam::1:policy/a",)),), {}),
        ((), {"a": "b"}),
    ],
)
def test_anything_takes_some(
    layers: tuple[SessionPolicies, ...], tags: dict[str, str]
) -> None:
    assert packed_policy_size((), {}) == 0
    assert 1 <= packed_policy_size(layers, tags) <= 3


def test_it_is_rounded_up_to_whole_per_cent_of_2048_bytes() -> None:
    sizes = [packed_policy_size((inline(noise(n)),), {}) for n in range(1, 50)]
    assert sizes == sorted(sizes)
    # 48 pieces hold 1,536 random bytes, which nothing packs smaller.
    assert 75 <= sizes[47] <= 90


def test_policies_over_the_limit_are_refused_with_their_size() -> None:
    with pytest.raises(PackedPolicyTooLarge) as caught:
        packed_policy_size((inline(noise(90)),), {"a": "b"})
    assert caught.value.message is not None
    number = int(caught.value.message.split("%")[0].split()[-1])
    assert number > 100
    assert caught.value.message == f"Packed policy consumes {number}% of allotted space"


@pytest.mark.parametrize("texts", [(), ("{}",)])
def test_tags_over_the_limit_are_refused_with_theirs(texts: tuple[str, ...]) -> None:
    with pytest.raises(PackedPolicyTooLarge) as caught:
        packed_policy_size([*map(inline, texts)], noisy_tags(30))
    assert caught.value.message is not None
    number = int(caught.value.message.split("%")[0].split()[-1])
    assert caught.value.message == (
        f"Packed size of session tags consumes {number}% of allotted space."
    )


def test_policies_and_tags_count_together() -> None:
    policy, tags = noise(40), noisy_tags(8)
    assert packed_policy_size((inline(policy),), {}) <= 100
    assert packed_policy_size((), tags) <= 100
    with pytest.raises(PackedPolicyTooLarge, match=r"^Packed policy consumes"):
        packed_policy_size((inline(policy),), tags)
