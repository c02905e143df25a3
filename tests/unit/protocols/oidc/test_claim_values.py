import pytest

from broker.protocols.oidc.aws_claims import CHARACTERS_MAX, VALUES_MAX
from broker.protocols.oidc.claim_values import read_values
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from tests.support.rows import of_file, rows

CLAIMS = of_file(__file__, "CLAIMS")


@rows("name, values")
def test_a_claim_has_the_values_of_a_key(name: str, values: tuple[str, ...]) -> None:
    assert read_values(CLAIMS, name) == values


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"a": "b"},
        ["a", 1],
        [["a"]],
        [None],
        float("inf"),
        "x" * (CHARACTERS_MAX + 1),
        ["a", "x" * (CHARACTERS_MAX + 1)],
        ["a"] * (VALUES_MAX + 1),
        10**CHARACTERS_MAX,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_another_form_refuses_the_token(value: object) -> None:
    """Left out, it would let a caller past a Deny on the key."""
    with pytest.raises(OidcRejected) as caught:
        read_values({"claim": value}, "claim")
    assert caught.value.reason is OidcReason.BAD_CLAIM
    assert "claim" in caught.value.detail


def test_the_greatest_value_that_is_read() -> None:
    assert read_values({"c": ["x" * CHARACTERS_MAX] * VALUES_MAX}, "c")
