"""No input to any endpoint makes a server error, whatever it is made of.

Against a real broker: its server, its parsers and its stores all take part.
"""

import base64
import http.client
import zlib
from collections.abc import Iterator
from urllib.parse import quote_plus, urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import saml_idp
from tests.support.broker import RunningBroker, running_broker
from tests.support.effort import examples
from tests.support.rows import of_file

FORM = "application/x-www-form-urlencoded"
BOUNDED = settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
ACTIONS = of_file(__file__, "ACTIONS")
NAMES = of_file(__file__, "NAMES")
NASTY = st.sampled_from(
    [
        "",
        "\x00",
        "\r\nSet-Cookie: a=b",
        "<script>alert(1)</script>",
        "{" * 5000,
        "[" * 5000,
        "A" * 20_000,
        "a.b.c",
        "..",
        "-1",
        "1e999",
        "${aws:username}",
        "arn:aws:iam::123456789012:role/Reader",
        "arn:" + ":" * 500,
        "//evil.example",
        "javascript:alert(1)",
        "\ud7ff\ufffd",
        base64.b64encode(b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>").decode(),
        base64.b64encode(zlib.compress(b"A" * 1_000_000)).decode(),
        base64.b64encode(b"<a>" * 3000).decode(),
    ]
)
VALUES = st.one_of(NASTY, st.text(max_size=200))
PARAMETERS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with running_broker(tmp_path_factory.mktemp("broker")) as running:
        yield running
        assert ask(running, "GET", "/readyz")[0] == 200
        assert "unexpected failure" not in running.log
        assert "Traceback" not in running.log


def ask(
    broker: RunningBroker,
    method: str,
    target: str,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    """A raw exchange, bounded in time."""
    connection = http.client.HTTPConnection("127.0.0.1", broker.port, timeout=10)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (headers or {"Content-Type": FORM}).items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def is_refused(status: int, body: bytes) -> bool:
    return status < 500 and b"Traceback" not in body


@BOUNDED
@given(body=st.binary(max_size=3000))
def test_bytes_are_refused(broker: RunningBroker, body: bytes) -> None:
    for path in ("/", "/saml", "/federation"):
        assert is_refused(*ask(broker, "POST", path, body))


@BOUNDED
@given(action=st.sampled_from(ACTIONS), parameters=PARAMETERS)
def test_parameters_of_actions_are_refused(
    broker: RunningBroker, action: str, parameters: dict[str, str]
) -> None:
    version = "2010-05-08" if action in {"CreateRole", "ListUsers"} else "2011-06-15"
    form = urlencode(
        {"Action": action, "Version": version, **parameters}, errors="replace"
    ).encode()
    assert is_refused(*ask(broker, "POST", "/", form))


@BOUNDED
@given(parameters=PARAMETERS)
def test_parameters_of_sign_in_are_refused(
    broker: RunningBroker, parameters: dict[str, str]
) -> None:
    form = urlencode(parameters, errors="replace")
    assert is_refused(*ask(broker, "POST", "/saml", form.encode()))
    assert is_refused(*ask(broker, "GET", f"/signin?{form[:8000]}"))
    for action in ("getSigninToken", "login", "logout", "else"):
        query = f"Action={action}&{form}"
        assert is_refused(*ask(broker, "POST", "/federation", query.encode()))
        assert is_refused(*ask(broker, "GET", f"/federation?{query[:8000]}"))


@BOUNDED
@given(data=st.data())
def test_mutated_responses_are_refused(
    broker: RunningBroker, data: st.DataObject
) -> None:
    document = bytearray(base64.b64decode(saml_idp.build_response()))
    for _ in range(data.draw(st.integers(1, 4))):
        document[data.draw(st.integers(0, len(document) - 1))] = data.draw(
            st.integers(0, 255)
        )
    form = f"SAMLResponse={quote_plus(base64.b64encode(bytes(document)).decode())}"
    assert is_refused(*ask(broker, "POST", "/saml", form.encode()))


@pytest.mark.parametrize("path", ["/", "/saml", "/federation"])
@pytest.mark.parametrize(
    "body",
    [
        b"&".join(b"a%d=1" % n for n in range(20_000)),
        b"Action=GetCallerIdentity&Version=2011-06-15&" + b"x=%ff" * 10,
        b"Action=%zz",
        b"Action=GetCallerIdentity&Action=AssumeRole&Version=2011-06-15",
        b"Tags.member." + b"1." * 5000 + b"Key=a",
        b"=" * 10_000,
        "Action=Ünïcødé&Version=2011-06-15".encode("utf-16"),
    ],
)
def test_odd_forms_are_refused(broker: RunningBroker, path: str, body: bytes) -> None:
    assert is_refused(*ask(broker, "POST", path, body))


@pytest.mark.parametrize("path", ["/", "/saml", "/federation", "/signin", "/console/"])
def test_every_method_is_answered(broker: RunningBroker, path: str) -> None:
    for method in (
        "GET",
        "HEAD",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "QUERY",
    ):
        assert is_refused(*ask(broker, method, path))


def test_an_oversized_body_is_refused_before_it_is_read(broker: RunningBroker) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", broker.port, timeout=10)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Type", FORM)
    connection.putheader("Content-Length", "10000001")
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (413, b"")
