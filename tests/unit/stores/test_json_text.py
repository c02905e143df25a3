"""JSON as the stores and the log write it."""

from dataclasses import dataclass, field

import pytest

from broker.stores.json_text import encode_json


@dataclass(frozen=True, slots=True)
class Login:
    """Has a member that its repr hides, as the broker's own records do."""

    name: str
    token: str = field(repr=False)


def test_a_record_is_written_as_its_repr_shows_it() -> None:
    text = encode_json({"login": Login("ann", "hush")}, str)
    assert "ann" in text
    assert "hush" not in text


def test_a_record_that_no_one_simplifies_is_refused() -> None:
    with pytest.raises(TypeError):
        encode_json({"login": Login("ann", "hush")})


def test_whatever_text_a_caller_sent_can_be_written() -> None:
    assert encode_json({"a": "\ud800"}) == '{"a":"\\ud800"}'
    assert encode_json([2**70]) == f"[{2**70}]"
