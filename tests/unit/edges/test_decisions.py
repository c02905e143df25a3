import pytest

from broker.edges.decisions import header_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("arn:aws:iam::111122223333:user/a@b", b"arn:aws:iam::111122223333:user/a@b"),
        ("a\r\nx-broker-account: 1", b"a%0D%0Ax-broker-account: 1"),
        ("\N{SNOWMAN}", b"%E2%98%83"),
    ],
)
def test_a_header_has_no_other_characters_than_printable_ones(
    text: str, value: bytes
) -> None:
    assert header_value(text) == value
