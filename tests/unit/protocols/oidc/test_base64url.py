import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.protocols.oidc import base64url


@settings(deadline=None)
@given(st.binary(max_size=100))
def test_what_python_encodes_is_decoded(data: bytes) -> None:
    text = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    assert base64url.decode(text) == data


@settings(deadline=None)
@given(st.text("AQgwZz09-_=+/ \n", max_size=8))
def test_a_value_has_one_text_only(text: str) -> None:
    try:
        data = base64url.decode(text)
    except ValueError:
        return
    assert base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text


@pytest.mark.parametrize("text", ["A", "AAAAA", "AB", "AAB", "AA==", "A+", "A/", "é"])
def test_texts_that_only_look_like_base64url_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64url"):
        base64url.decode(text)
