import hashlib

import pytest

from broker.errors import PackedPolicyTooLarge
from broker.sessions.packed import packed_policy_size


def noise(count: int, seed: bytes = b"") -> str:
    """Text of 64 characters a piece, which deflates to about half."""
    return "".join(hashlib.sha256(seed + b"%d" % n).hexdigest() for n in range(count))


def noisy_tags(count: int) -> dict[str, str]:
    return {noise(1, b"k%d" % n): noise(4, b"v%d" % n) for n in range(count)}


def test_nothing_takes_no_space() -> None:
    assert packed_policy_size((), (), {}) == 0


@pytest.mark.parametrize(
    ("policies", "arns", "tags"),
    [(("{}",), (), {}), ((), ("arn:aws:iam::1:policy/a",), {}), ((), (), {"a": "b"})],
)
def test_anything_takes_some(
    policies: tuple[str, ...], arns: tuple[str, ...], tags: dict[str, str]
) -> None:
    assert 1 <= packed_policy_size(policies, arns, tags) <= 3


def test_it_is_rounded_up_to_whole_per_cent_of_2048_bytes() -> None:
    sizes = [packed_policy_size((noise(n),), (), {}) for n in range(1, 50)]
    assert sizes == sorted(sizes)
    # 48 pieces hold 1,536 random bytes, which nothing packs smaller.
    assert 75 <= sizes[47] <= 90


def test_generous_repetition_packs_well() -> None:
    policy = '{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}' * 35
    assert packed_policy_size((policy,), (), {}) < 10


def test_policies_over_the_limit_are_refused_with_their_size() -> None:
    with pytest.raises(PackedPolicyTooLarge) as caught:
        packed_policy_size((noise(90),), (), {"a": "b"})
    assert caught.value.message is not None
    number = int(caught.value.message.split("%")[0].split()[-1])
    assert number > 100
    assert caught.value.message == f"Packed policy consumes {number}% of allotted space"


@pytest.mark.parametrize("policies", [(), ("{}",)])
def test_tags_over_the_limit_are_refused_with_theirs(policies: tuple[str, ...]) -> None:
    with pytest.raises(PackedPolicyTooLarge) as caught:
        packed_policy_size(policies, (), noisy_tags(30))
    assert caught.value.message is not None
    number = int(caught.value.message.split("%")[0].split()[-1])
    assert caught.value.message == (
        f"Packed size of session tags consumes {number}% of allotted space."
    )


def test_policies_and_tags_count_together() -> None:
    policy, tags = noise(40), noisy_tags(8)
    assert packed_policy_size((policy,), (), {}) <= 100
    assert packed_policy_size((), (), tags) <= 100
    with pytest.raises(PackedPolicyTooLarge, match=r"^Packed policy consumes"):
        packed_policy_size((policy,), (), tags)
