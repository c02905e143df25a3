import json
from datetime import UTC, datetime, timedelta, timezone
from xml.etree import ElementTree as ET

import pytest

from broker.actions.models import load_service_model
from broker.protocols.query import Service, render_fault, render_json_fault
from broker.protocols.query.renderer import escape, format_timestamp

STS = Service(load_service_model("sts"))
IAM = Service(load_service_model("iam"))
EXPIRATION = datetime(2026, 9, 11, 18, 36, 46, tzinfo=UTC)
CREDENTIALS = {
    "AccessKeyId": "ASIAEXAMPLE",
    "SecretAccessKey": "secret",
    "SessionToken": "token",
    "Expiration": EXPIRATION,
}
ASSUMED = {
    "Credentials": CREDENTIALS,
    "AssumedRoleUser": {
        "AssumedRoleId": "AROA:session",
        "Arn": "arn:aws:sts::123456789012:assumed-role/Role/session",
    },
}


def test_a_member_that_the_shape_does_not_know_is_a_fault_of_ours() -> None:
    for render in (
        STS.renderer("GetCallerIdentity"),
        STS.renderer("GetCallerIdentity", as_json=True),
    ):
        with pytest.raises(LookupError, match="Nonsense"):
            render({"Nonsense": "x"}, "id")


def test_a_value_of_the_wrong_type_is_a_fault_of_ours() -> None:
    with pytest.raises(TypeError):
        STS.renderer("GetCallerIdentity")({"Arn": object()}, "id")
    with pytest.raises(TypeError):
        STS.renderer("GetSessionToken")(
            {"Credentials": {**CREDENTIALS, "Expiration": object()}}, "id"
        )


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain é \N{GRINNING FACE}", "plain é \N{GRINNING FACE}"),
        ("<a&b>", "&lt;a&amp;b&gt;"),
        ("]]>", "]]&gt;"),
        ("\t\n\r", "\t\n&#xD;"),
        ("a\x00b\x1f\ufffe\ud800", "a\ufffdb\ufffd\ufffd\ufffd"),
    ],
)
def test_text_is_escaped_and_never_breaks_the_document(text: str, escaped: str) -> None:
    assert escape(text) == escaped
    assert ET.fromstring(f"<a>{escape(text)}</a>".encode()) is not None


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (EXPIRATION, "2026-09-11T18:36:46Z"),
        (EXPIRATION.replace(microsecond=507_999), "2026-09-11T18:36:46.507Z"),
        (EXPIRATION.replace(microsecond=999), "2026-09-11T18:36:46Z"),
        (
            datetime(2026, 9, 11, 20, 36, 46, tzinfo=timezone(timedelta(hours=2))),
            "2026-09-11T18:36:46Z",
        ),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
    ],
)
def test_times_are_utc_and_show_milliseconds_when_they_have_any(
    moment: datetime, text: str
) -> None:
    assert format_timestamp(moment) == text


def test_the_json_form_has_times_as_numbers() -> None:
    document = json.loads(STS.renderer("AssumeRole", as_json=True)(ASSUMED, "uuid"))
    response = document["AssumeRoleResponse"]
    credentials = response["AssumeRoleResult"]["Credentials"]
    assert credentials["Expiration"] == int(EXPIRATION.timestamp())
    assert response["ResponseMetadata"] == {"RequestId": "uuid"}


def test_an_error_may_have_no_message() -> None:
    body = render_fault("MalformedInput", None, fault="Sender", request_id="u")
    assert b"Message" not in body
    assert b'xmlns="http://webservices.amazon.com/AWSFault/2005-15-09"' in body
    document = json.loads(
        render_json_fault("MalformedInput", None, fault="Sender", request_id="u")
    )
    assert document == {
        "Error": {"Code": "MalformedInput", "Type": "Sender"},
        "RequestId": "u",
    }


def test_an_error_may_be_json() -> None:
    document = json.loads(
        render_json_fault("AccessDenied", "no", fault="Sender", request_id="u")
    )
    assert document == {
        "Error": {"Code": "AccessDenied", "Message": "no", "Type": "Sender"},
        "RequestId": "u",
    }


def test_advice_stands_beside_the_message_of_a_fault() -> None:
    params = {"fault": "Sender", "request_id": "u", "advice": 'write "a" & <b>'}
    error = ET.fromstring(render_fault("X", "Sentence.", **params))[0]
    results = {child.tag.rpartition("}")[2]: child.text for child in error}
    assert results == {
        "Type": "Sender",
        "Code": "X",
        "Message": "Sentence.",
        "Advice": 'write "a" & <b>',
    }
    document = json.loads(render_json_fault("X", None, **params))
    assert document["Error"] == {
        "Code": "X",
        "Type": "Sender",
        "Advice": 'write "a" & <b>',
    }
