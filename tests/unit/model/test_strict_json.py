import json

import pytest

from broker.model.strict_json import DEPTH_MAX, parse_lenient_object, parse_object
from tests.support.effort import cpu_at_most


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"{} {}",
        b"{}x",
        b'{"a":1,"a":1}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":"\\ud800"}',
        b'{"\\udfff":1}',
        b'{"a":"\xff"}',
        b'\xef\xbb\xbf{"a":1}',
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":"\n"}',
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_anything_but_a_plain_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_object(text)


def test_an_object_comes_out_as_json_reads_it() -> None:
    document = {"a": ["[" * 90, {"b": None, "c": True}], "é": "\U0001f600", "d": 1.5}
    assert parse_object(json.dumps(document).encode()) == document
    assert parse_object(json.dumps(document, ensure_ascii=False).encode()) == document


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_is_bounded_at_the_limit_exactly(opening: str) -> None:
    closing = "]" if opening == "[" else "}"

    def nested(depth: int) -> bytes:
        inner = opening * (depth - 1) + "1" + closing * (depth - 1)
        return f'{{"x":{inner}}}'.encode()

    assert parse_object(nested(DEPTH_MAX))
    with pytest.raises(ValueError, match="deeply"):
        parse_object(nested(DEPTH_MAX + 1))


def test_many_shallow_brackets_do_not_count_as_nesting() -> None:
    assert len(parse_object(b'{"a":[' + b"[]," * 500 + b"[]]}")["a"]) == 501


def test_a_lenient_reading_empties_only_the_ambiguous_object() -> None:
    text = b'{"keys":[{"kid":"a","kid":"b"},{"kid":"c"}]}'
    assert parse_lenient_object(text) == {"keys": [{}, {"kid": "c"}]}


def test_a_string_that_does_not_end_is_looked_at_once() -> None:
    data = b'{"a": "' + b'\\"' * 100_000 + b"[" * 40
    with cpu_at_most(2_000), pytest.raises(ValueError, match="Unterminated string"):
        parse_object(data)
