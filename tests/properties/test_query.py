"""No bytes make the Query protocol raise anything but its own error."""

import string
from contextlib import suppress
from urllib.parse import parse_qsl, quote_plus, urlencode
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from broker.actions.models import load_service, load_service_model
from broker.model.request import RawRequest
from broker.protocols.query import InputRejected, Service, parse_call, render_fault
from broker.protocols.query.renderer import escape

SERVICES = [load_service(name) for name in ("sts", "iam")]
OPERATIONS = [(s, name) for s in SERVICES for name in sorted(s.operations)]
NAMES = sorted(
    {
        name
        for model in (load_service_model("sts"), load_service_model("iam"))
        for shape in model["shapes"].values()
        for name in shape.get("members", {})
    }
)
part = st.sampled_from(
    [*NAMES, "member", "entry", "key", "value", "1", "2", "01", "0", "-1", "x", ""]
)
dotted = st.lists(part, min_size=1, max_size=6).map(".".join)


def raw(method: str, query: bytes, body: bytes) -> RawRequest:
    return RawRequest(
        method=method,
        raw_path=b"/",
        query=query,
        headers=((b"content-type", b"application/x-www-form-urlencoded"),),
        body=body,
        source_ip="",
        secure=False,
    )


@given(st.binary(), st.binary(), st.sampled_from(["GET", "POST"]))
def test_any_bytes_are_taken_apart_or_refused(
    query: bytes, body: bytes, method: str
) -> None:
    with suppress(InputRejected):
        parse_call(raw(method, query, body))


@given(
    st.sampled_from(OPERATIONS),
    st.dictionaries(dotted, st.text() | st.from_regex(r"[0-9]{1,12}"), max_size=8),
)
def test_any_parameters_are_read_or_refused(
    operation: tuple[Service, str], params: dict
) -> None:
    service, name = operation
    with suppress(InputRejected):
        service.reader(name)(params)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters=".")), st.text()
    )
)
def test_forms_are_decoded_as_the_standard_library_decodes_them(params: dict) -> None:
    params = {k: v for k, v in params.items() if k and k[:6].lower() != "x-amz-"}
    params.pop("Action", None)
    params.pop("Version", None)
    with suppress(UnicodeEncodeError):
        body = urlencode(params).encode()
        assert parse_call(raw("POST", b"", body)).params == params


@given(st.text(string.hexdigits + "%+=ö ", max_size=30))
def test_valid_escapes_mean_what_the_standard_library_says(value: str) -> None:
    try:
        call = parse_call(raw("GET", b"N=" + value.encode(), b""))
    except InputRejected:
        return
    (results,) = parse_qsl(f"N={value}", keep_blank_values=True)
    assert call.params == {"N": results[1]}


@given(st.text(st.characters()))
def test_any_text_makes_a_document(text: str) -> None:
    body = render_fault("Code", text, fault="Sender", request_id="id")
    ET.fromstring(body)
    assert ET.fromstring(f"<a>{escape(quote_plus('a'))}</a>").text == "a"
