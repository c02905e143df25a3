"""JSON as the stores and the log write it."""

import pytest

from broker.model.secret import Confidential, Hidden
from broker.stores.json_text import encode_json


class Login(Confidential, frozen=True):
    name: str
    token: Hidden[str]


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
