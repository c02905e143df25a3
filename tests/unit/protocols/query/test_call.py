import tracemalloc
from urllib.parse import quote_plus

import pytest

from broker.model.request import RawRequest
from broker.protocols.query.call import PARAMETERS_MAX, parse_call
from broker.protocols.shapes.violations import InputReason, InputRejected
from tests.support.raw import raw_request
from tests.support.rows import rows

FORM = (b"content-type", b"application/x-www-form-urlencoded")


def post(body: bytes, *headers: tuple[bytes, bytes], query: bytes = b"") -> RawRequest:
    return raw_request(query=query, body=body, headers=headers or (FORM,))


def get(query: bytes, *headers: tuple[bytes, bytes]) -> RawRequest:
    return raw_request(method="GET", query=query, headers=headers)


def test_a_form_is_decoded() -> None:
    call = parse_call(
        post(b"Action=A&Version=1&X=a+b%2Bc%3d%c3%a9&Y=p%3Dq=r&&Z&E\xc3\xa9=%00")
    )
    assert (call.action, call.version, call.wants_json) == ("A", "1", False)
    assert call.params == {"X": "a b+c=é", "Y": "p=q=r", "Z": "", "Eé": "\0"}


@rows("content_type")
def test_both_sdks_content_types_are_forms(content_type: bytes) -> None:
    call = parse_call(post(b"Action=A", (b"content-type", content_type)))
    assert call.action == "A"


def test_a_post_of_its_query_alone_needs_no_content_type() -> None:
    call = parse_call(post(b"", (b"x", b"y"), query=b"Action=A&Version=1&X=2"))
    assert (call.action, call.version, call.params) == ("A", "1", {"X": "2"})
    of_another = (b"content-type", b"application/json")
    assert parse_call(post(b"", of_another, query=b"Action=A")).action is None


@pytest.mark.parametrize("headers", [(b"content-type", b"text/plain"), (b"x", b"y")])
def test_a_post_without_a_form_asks_for_nothing(headers: tuple) -> None:
    assert parse_call(post(b"Action=A", headers, query=b"Action=B")).action is None


def test_a_request_without_action_asks_for_nothing() -> None:
    assert parse_call(get(b"")).action is None
    assert parse_call(get(b"Version=2011-06-15")).action is None
    assert parse_call(post(b"")).action is None


def test_an_empty_action_is_an_action() -> None:
    assert parse_call(post(b"Action=&Version=")).action == ""


def test_presigned_parameters_do_not_reach_the_action() -> None:
    call = parse_call(
        get(
            b"Action=A&Version=1&N=v&X-Amz-Signature=s&x-amz-Date=d&X-Amz-Security-Token=t"
        )
    )
    assert call.params == {"N": "v"}


@pytest.mark.parametrize(
    "request_",
    [
        get(b"Action=A&N=1&N=2"),
        get(b"Action=A&N=1&N=1"),
        get(b"Action=A&N=1&%4E=1"),
        post(b"Action=A&Action=A"),
        post(b"Action=A&N=1", query=b"N=1"),
        post(b"Action=A", query=b"Action=A"),
        get(b"Action=A&X-Amz-Date=1&X-Amz-Date=1"),
    ],
)
def test_a_parameter_has_one_place_and_one_value(request_: RawRequest) -> None:
    with pytest.raises(InputRejected) as refusal:
        parse_call(request_)
    assert refusal.value.reason is InputReason.VALIDATION_ERROR
    assert "more than once" in str(refusal.value.message)


@rows("text")
def test_broken_escapes_and_broken_utf8_are_malformed(text: bytes) -> None:
    for request in (get(text), post(text)):
        with pytest.raises(InputRejected) as refusal:
            parse_call(request)
        assert refusal.value.reason is InputReason.MALFORMED_QUERY_STRING


def test_a_long_value_is_decoded() -> None:
    value = "é+&=%🙂\r\n\0" * 20_000
    call = parse_call(post(f"Action=A&V={quote_plus(value)}&W=%3D=%25".encode()))
    assert call.params == {"V": value, "W": "==%"}


def test_the_number_of_parameters_is_bounded() -> None:
    most = b"&".join(b"%d=" % n for n in range(PARAMETERS_MAX))
    assert len(parse_call(post(most)).params) == PARAMETERS_MAX
    for request in (post(most + b"&x=1"), post(most, query=b"x=1"), post(b"&" * 10**6)):
        with pytest.raises(InputRejected) as refusal:
            parse_call(request)
        assert refusal.value.reason is InputReason.MALFORMED_QUERY_STRING


def test_escapes_cost_no_more_memory_than_their_text() -> None:
    body = b"N=" + b"%41" * 1_000_000
    tracemalloc.start()
    call = parse_call(post(body))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert call.params["N"] == "A" * 1_000_000
    assert peak < 8 * len(body)


@rows("accept, wanted")
def test_json_is_an_answer_for_those_who_prefer_it(
    accept: bytes, *, wanted: bool
) -> None:
    assert parse_call(get(b"Action=A", (b"accept", accept))).wants_json is wanted


def test_values_are_not_shown_in_a_repr() -> None:
    assert "hunter2" not in repr(parse_call(post(b"Action=A&Password=hunter2")))
