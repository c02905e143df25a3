"""What can go wrong at another STS, each as the server's bytes, and what it counts as.

``Refused`` and ``Unreachable`` give a proof back, ``Unclear`` leaves it spent.
"""

import asyncio
import json
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from cryptography import x509
from msgspec import Struct, field
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.secret import Secret
from broker.proofs import upstream_client
from broker.proofs.addresses import AddressRules, parse_internal_issuers
from broker.proofs.outbound import OutboundClient
from broker.proofs.upstream_client import (
    KeyPair,
    UpstreamClient,
    UpstreamCredentials,
    UpstreamRefusedError,
    UpstreamUnclearError,
    UpstreamUnreachableError,
    login_url,
)
from tests.support.broker import ACCOUNT
from tests.support.certificates import issue
from tests.support.rows import of_file, rows

Refused, Unreachable, Unclear = (
    UpstreamRefusedError,
    UpstreamUnreachableError,
    UpstreamUnclearError,
)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# SHORT is for servers that never answer.
DEADLINE, SHORT = 20.0, 1.5
HOUR = timedelta(hours=1)
KEYS = KeyPair(access_key_id="AKIAEXAMPLE", secret_access_key=Secret("secret"))
PARAMETERS = {
    "Action": "AssumeRole",
    "RoleArn": "arn:aws:iam::999988887777:role/ReadOnly",
    "RoleSessionName": "t",
}
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


def whole(
    body: bytes | str, status: int = 200, *heads: str, reason: str = "Reason"
) -> bytes:
    """An answer as it is on the wire."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} {reason}", f"content-length: {len(content)}", *heads]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def fault(code: str, status: int, message: str = "words", *heads: str) -> bytes:
    """An error of AWS's in the Query protocol."""
    return whole(
        f'<ErrorResponse xmlns="{NAMESPACE}"><Error><Type>Sender</Type><Code>{code}'
        f"</Code><Message>{message}</Message></Error><RequestId>c6104cbe</RequestId>"
        "</ErrorResponse>",
        status,
        *heads,
    )


def granted(
    life: timedelta = HOUR,
    *,
    key_id: str = "ASIAEXAMPLE",
    expiration: str = "",
    doctype: str = "",
    user: str = "<AssumedRoleUser><AssumedRoleId>AROA:t</AssumedRoleId>"
    "<Arn>arn:aws:sts::999988887777:assumed-role/ReadOnly/t</Arn></AssumedRoleUser>",
) -> str:
    ends = expiration or (datetime.now(UTC) + life).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'{doctype}<AssumeRoleResponse xmlns="{NAMESPACE}"><AssumeRoleResult>'
        f"<Credentials><AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>wJal"
        f"</SecretAccessKey><SessionToken>IQoJ</SessionToken><Expiration>{ends}"
        f"</Expiration></Credentials>{user}</AssumeRoleResult></AssumeRoleResponse>"
    )


BOMB = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
    f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9)
)

# Source: AWS STS API reference, each operation's errors and "Common error types".
REFUSALS = tuple(of_file(__file__, "REFUSALS"))

ANSWERS: dict[str, tuple[bytes, type[Exception]]] = {
    **{code: (fault(code, status), Refused) for code, status in REFUSALS},
    "NoSuchEntity": (  # of radosgw 18.2.7
        whole(
            '<?xml version="1.0" encoding="UTF-8"?><Error><Code>NoSuchEntity</Code>'
            "<Message></Message><RequestId>tx0</RequestId><HostId>1</HostId></Error>",
            404,
        ),
        Refused,
    ),
    "a code and no message": (fault("AccessDenied", 403, ""), Refused),
    # It did not take the request up.
    "ServiceUnavailable": (fault("ServiceUnavailable", 503), Unreachable),
    # It did, and what became of it is not known.
    "InternalFailure": (fault("InternalFailure", 500), Unclear),
    "a gateway's time-out": (fault("GatewayTimeout", 504), Unclear),
    "500, empty": (whole(b"", 500), Unclear),
    "502, a page": (whole("<html>bad gateway</html>", 502), Unclear),
    "503, a page": (whole("<html>maintenance</html>", 503), Unclear),
    "504, text": (whole("upstream timed out", 504), Unclear),
    "400, empty": (whole(b"", 400), Unclear),
    "403, a page": (whole("<html>forbidden</html>", 403), Unclear),
    "404, JSON": (whole('{"message": "Not Found"}', 404), Unclear),
    "429, text": (whole("slow down", 429), Unclear),
    "204": (whole(b"", 204), Unclear),
    "301": (whole(b"", 301, "location: https://elsewhere.example/"), Unclear),
    "307": (whole(b"", 307, "location: http://169.254.169.254/"), Unclear),
    "200, empty": (whole(b""), Unclear),
    "200, text": (whole("nothing"), Unclear),
    "200, another answer": (whole("<GetCallerIdentityResponse/>"), Unclear),
    "200, an error": (whole("<ErrorResponse><Error/></ErrorResponse>"), Unclear),
    "200, cut XML": (whole(granted()[:-60]), Unclear),
    "no secret": (whole(granted().replace("SecretAccessKey", "Other")), Unclear),
    "no end": (whole(granted().replace("Expiration", "Other")), Unclear),
    "an end in words": (whole(granted(expiration="tomorrow")), Unclear),
    "an end beyond time": (whole(granted(expiration="9" * 30)), Unclear),
    "ended": (whole(granted(-HOUR)), Unclear),
    "for years": (whole(granted(400 * 24 * HOUR)), Unclear),
    "an empty key id": (whole(granted(key_id="")), Unclear),
    "a key id with a line break": (whole(granted(key_id="A&#10;B")), Unclear),
    "a key id too long": (whole(granted(key_id="A" * 129)), Unclear),
    "a key id that is a command": (whole(granted(key_id="A;reboot")), Unclear),
    **{
        f"{member}: {text!r}": (whole(granted().replace(member, text)), Unclear)
        for member in ("wJal", "IQoJ")
        for text in ("", "a b", "a&#10;b", "a;b", "$(b)", "`b`", 'a"b', "ä", "a&#x9b;")
    },
    "an error inside an error": (
        whole("<Error><Error>words</Error><Code>AccessDenied</Code></Error>", 403),
        Unclear,
    ),
    "an error in words": (
        whole("<ErrorResponse><Error>AccessDenied</Error></ErrorResponse>", 403),
        Unclear,
    ),
    **{
        f"a code that is none: {code[:20]}": (fault(code, 403), Unclear)
        for code in ("A" * 129, "Ä", "A B", "<A>x</A>", "A</Code><Code>B", "A&#x9b;")
    },
    "deep": (whole("<a>" * 60_000), Unclear),
    "entities": (whole(granted(doctype=BOMB + "]>").replace("wJal", "&j;")), Unclear),
    "a file": (
        whole(
            granted(
                doctype="<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/hosts'>]>"
            ).replace("ASIAEXAMPLE", "&x;")
        ),
        Unclear,
    ),
    **{
        f"a DOCTYPE in {encoding}": (
            whole(
                (
                    f"<?xml version='1.0' encoding='{encoding}'?>"
                    + granted(
                        doctype="<!DOCTYPE a [<!ENTITY x 'ASIAOTHER'>]>", key_id="&x;"
                    )
                ).encode(encoding)
            ),
            Unclear,
        )
        for encoding in ("utf-8", "utf-16", "iso-8859-1")
    },
    "a DOCTYPE without entities": (whole(granted(doctype="<!DOCTYPE a>")), Unclear),
    **{
        f"credentials of {whose}": (
            whole(
                granted(user=f"<AssumedRoleUser><Arn>{whose}</Arn></AssumedRoleUser>")
            ),
            Unclear,
        )
        for whose in (
            "t",
            "/ReadOnly/t",
            "arn:aws:sts::999988887777:assumed-role/ReadOnly/another",
            "arn:aws:sts::999988887777:assumed-role/ReadOnly/T",
            "arn:aws:sts::999988887777:assumed-role/Admin/t",
            "arn:aws:sts::999988887777:assumed-role/other/ReadOnly/t",
            "arn:aws:sts::666655554444:assumed-role/ReadOnly/t",
            "arn:aws:sts::999988887777:federated-user/t",
            "arn:aws:iam::999988887777:role/ReadOnly/t",
        )
    },
    "no characters": (whole(b"\xff\xfe\x00"), Unclear),
    "too much beside credentials": (
        whole(
            granted().replace("<Credentials>", f"<!--{'x' * 300_000}--><Credentials>")
        ),
        Unclear,
    ),
    "too much": (whole("<a>" + "x" * 300_000 + "</a>"), Unclear),
    "compressed": (whole(b"\x1f\x8b", 200, "content-encoding: gzip"), Unclear),
    "closed at once": (b"", Unclear),
    "closed in the head": (b"HTTP/1.1 200 OK\r\nconte", Unclear),
    "closed in the body": (whole(granted())[:-40], Unclear),
    "no HTTP": (b"220 mail.example.com ESMTP\r\n", Unclear),
    "a head without end": (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 40_000, Unclear),
    "a chunk that is none": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        Unclear,
    ),
    "chunks without end": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n<a/>x\r\n",
        Unclear,
    ),
}


class There(Struct):
    """A server in an upstream's place."""

    port: int
    asked: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(serve: Serve, **options: Any) -> AsyncIterator[There]:
    there = There(0)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there.asked += 1
        there.arrived.set()
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(take, "127.0.0.1", 0, **options)
    there.port = server.sockets[0].getsockname()[1]
    try:
        yield there
    finally:
        server.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    (length,) = (
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length:")
    )
    return head + await reader.readexactly(length)


def says(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return serve


async def stay(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


def outbound(allowed: str, seconds: float = DEADLINE, **options: Any) -> OutboundClient:
    rules = AddressRules(parse_internal_issuers(allowed))
    return OutboundClient(rules, deadline_seconds=seconds, **options)


async def ask(
    client: OutboundClient,
    endpoint: str,
    keys: KeyPair | None = KEYS,
    *,
    names_sessions: bool | None = True,
) -> UpstreamCredentials:
    upstream = UpstreamClient(client)
    try:
        return await upstream.assume(
            AccountId(ACCOUNT),
            endpoint,
            PARAMETERS,
            region="eu-west-1",
            keys=keys,
            names_sessions=names_sessions,
        )
    finally:
        await upstream.close()


async def ask_at(
    there: There, *, names_sessions: bool | None = True, **options: Any
) -> UpstreamCredentials:
    client = outbound(f"127.0.0.1:{there.port}", **options)
    place = f"http://127.0.0.1:{there.port}/"
    return await ask(client, place, names_sessions=names_sessions)


def says_twice(first: bytes, second: bytes) -> Serve:
    """Answers the first request on a connection with one answer too many."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(first + second)
        while True:
            await read_request(reader)
            writer.write(first)

    return serve


@pytest.mark.parametrize(
    "another",
    [
        granted(user=""),
        granted().replace("/ReadOnly/t<", "/ReadOnly/another<"),
        granted().replace("/ReadOnly/t<", "/Admin/t<"),
    ],
    ids=["of nobody", "of another session", "of another role"],
)
async def test_nobody_gets_an_answer_that_was_for_another(another: str) -> None:
    """A connection that is kept may hold one more, of a confused server or proxy."""
    async with serving(says_twice(whole(granted()), whole(another))) as there:
        upstream = UpstreamClient(outbound(f"127.0.0.1:{there.port}"))

        def ask_for(name: str) -> Awaitable[UpstreamCredentials]:
            return upstream.assume(
                AccountId(ACCOUNT),
                f"http://127.0.0.1:{there.port}",
                {**PARAMETERS, "RoleSessionName": name},
                region="eu-west-1",
                keys=None,
            )

        # An upstream that names sessions has kept connections.
        assert (await ask_for("t")).access_key_id
        with pytest.raises(Unclear, match="it gave credentials of"):
            await ask_for("t")
        await upstream.close()


async def test_what_names_sessions_is_refused_whenever_it_names_none() -> None:
    async with serving(says(whole(granted(user="")))) as there:
        for _ in range(3):
            with pytest.raises(Unclear, match='write "NamesSessions": false'):
                await ask_at(there)


@pytest.mark.parametrize("names", [False, None])
async def test_what_names_no_session_names_no_other(names: bool | None) -> None:
    """Where a definition says that it names none, and where that is to be found out."""
    another = granted().replace("/ReadOnly/t<", "/ReadOnly/another<")
    for body, is_named in ((granted(), True), (granted(user=""), False)):
        async with serving(says(whole(body))) as there:
            credentials = await ask_at(there, names_sessions=names)
        assert credentials.is_named is is_named
        assert credentials.arn.endswith(":assumed-role/ReadOnly/t")
    async with serving(says(whole(another))) as there:
        with pytest.raises(Unclear, match="it gave credentials of arn:"):
            await ask_at(there, names_sessions=names)


async def test_an_answer_that_names_nobody_comes_by_a_connection_of_its_own() -> None:
    nameless = whole(granted(user=""))
    async with serving(says_twice(nameless, whole(granted()))) as there:
        upstream = UpstreamClient(outbound(f"127.0.0.1:{there.port}"))
        for name in ("t", "u"):
            credentials = await upstream.assume(
                AccountId(ACCOUNT),
                f"http://127.0.0.1:{there.port}",
                {**PARAMETERS, "RoleSessionName": name},
                region="eu-west-1",
                keys=None,
                names_sessions=False,
            )
            assert credentials.arn.endswith(f":assumed-role/ReadOnly/{name}")
        assert there.asked == 2
        await upstream.close()


async def test_only_answers_that_name_their_session_come_by_a_kept_connection() -> None:
    token = whole('{"SigninToken": "mine"}')
    async with serving(says_twice(token, token.replace(b"mine", b"else"))) as there:
        upstream = UpstreamClient(outbound(f"127.0.0.1:{there.port}"))
        for _ in range(3):
            text = await upstream.signin_token(
                AccountId(ACCOUNT), f"http://127.0.0.1:{there.port}/federation", KEYS
            )
            assert text == "mine"
        assert there.asked == 3
        await upstream.close()
    async with serving(says_twice(whole(PUT), whole(PUT))) as there:
        upstream = UpstreamClient(outbound(f"127.0.0.1:{there.port}"))
        for _ in range(2):
            await upstream.deny_older(
                AccountId(ACCOUNT),
                f"http://127.0.0.1:{there.port}",
                "ReadOnly",
                "{}",
                region="us-east-1",
                keys=KEYS,
            )
        assert there.asked == 2
        await upstream.close()


@rows("role, arn")
async def test_the_session_of_a_role_is_known_by_its_arn(role: str, arn: str) -> None:
    user = f"<AssumedRoleUser><Arn>{arn}</Arn></AssumedRoleUser>"
    async with serving(says(whole(granted(user=user)))) as there:
        upstream = UpstreamClient(outbound(f"127.0.0.1:{there.port}"))
        credentials = await upstream.assume(
            AccountId(ACCOUNT),
            f"http://127.0.0.1:{there.port}",
            {**PARAMETERS, "RoleArn": role},
            region="eu-west-1",
            keys=None,
        )
        await upstream.close()
    assert credentials.arn == arn


async def test_credentials_are_read_from_aws_form() -> None:
    async with serving(says(whole(granted()))) as there:
        credentials = await ask_at(there)
    assert credentials.access_key_id == "ASIAEXAMPLE"
    assert credentials.secret_access_key.reveal() == "wJal"
    assert credentials.arn.endswith(":assumed-role/ReadOnly/t")
    assert HOUR * 0.9 < credentials.expiration - datetime.now(UTC) <= HOUR
    assert "wJal" not in repr(credentials)


@pytest.mark.parametrize("minutes", [0, 2])
async def test_credentials_come_with_what_the_clock_there_says(minutes: int) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    async with serving(says(whole(granted(), 200, f"date: {date}"))) as there:
        credentials = await ask_at(there)
    assert credentials.seconds_ahead == pytest.approx(60 * minutes, abs=20)


async def test_an_end_without_a_zone_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        ends = datetime.now(UTC).replace(microsecond=0) + HOUR
        body = granted(expiration=ends.strftime("%Y-%m-%dT%H:%M:%S"))
        async with serving(says(whole(body))) as there:
            assert (await ask_at(there)).expiration == ends
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("case", ANSWERS)
async def test_each_answer_counts_as_one_of_three(case: str) -> None:
    answer, outcome = ANSWERS[case]
    async with serving(says(answer)) as there:
        with pytest.raises(outcome) as caught:
            await ask_at(there)
    assert there.asked == 1  # nothing is asked twice
    if isinstance(caught.value, UpstreamRefusedError) and "and" not in case:
        assert caught.value.code == case
    assert "wJal" not in str(caught.value)


async def drip_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: y\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def drip_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
    )
    writer.transport.abort()


@pytest.mark.parametrize("serve", [stay, drip_head, drip_body, reset])
async def test_a_slow_or_cut_answer_is_unclear(serve: Serve) -> None:
    async with serving(serve) as there:
        with pytest.raises(Unclear):
            await asyncio.wait_for(ask_at(there, seconds=SHORT), DEADLINE)


def certificate(
    folder: Path, name: str, *, trusted: bool = True, **knobs: Any
) -> tuple[ssl.SSLContext, Path]:
    """What a server shows, and the authorities that the broker has."""
    authority = issue("Test Root", is_authority=True)
    other = issue("Other Root", is_authority=True)
    names = x509.SubjectAlternativeName([x509.DNSName(name)])
    served = authority.issue(name, extensions=[(names, False)], **knobs)
    chain, roots = folder / "served.pem", folder / "roots.pem"
    chain.write_text(served.pem + served.key_pem)
    roots.write_text(authority.pem if trusted else other.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    return context, roots


async def _here(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


TLS: dict[str, tuple[dict[str, Any], type[Exception] | None]] = {
    "good": ({"name": "sts.example"}, None),
    "another name": ({"name": "other.example"}, Unreachable),
    "another authority": ({"name": "sts.example", "trusted": False}, Unreachable),
    "expired": ({"name": "sts.example", "starts": -3, "days": -1}, Unreachable),
}


@pytest.mark.parametrize("case", TLS)
async def test_a_faulty_certificate_gets_no_request(case: str, tmp_path: Path) -> None:
    knobs, outcome = TLS[case]
    context, roots = certificate(tmp_path, **knobs)
    async with serving(says(whole(granted())), ssl=context) as there:
        client = outbound(f"sts.example:{there.port}", ca_file=roots, resolve=_here)
        asking = ask(client, f"https://sts.example:{there.port}/")
        if outcome is None:
            assert (await asking).access_key_id
            return
        with pytest.raises(outcome):
            await asking


@pytest.mark.parametrize("serve", [stay, says(b"220 mail.example.com ESMTP\r\n")])
async def test_a_server_without_tls_gets_no_request(serve: Serve) -> None:
    async with serving(serve) as there:
        client = outbound(f"sts.example:{there.port}", SHORT, resolve=_here)
        with pytest.raises(Unreachable):
            await ask(client, f"https://sts.example:{there.port}/")


async def _metadata(_host: str, _port: int) -> Sequence[str]:
    return ["169.254.169.254"]


async def _private(_host: str, _port: int) -> Sequence[str]:
    return ["10.0.0.1"]


async def _never(_host: str, _port: int) -> Sequence[str]:
    await asyncio.sleep(60)
    raise AssertionError


async def _unknown(_host: str, _port: int) -> Sequence[str]:
    raise socket.gaierror(-2, "Name or service not known")


PLACES = of_file(__file__, "PLACES", globals())


@pytest.mark.parametrize("case", PLACES)
async def test_a_place_that_may_not_or_cannot_be_reached(case: str) -> None:
    endpoint, resolve = PLACES[case]
    with pytest.raises(Unreachable):
        await ask(outbound("sts2.example:443", SHORT, resolve=resolve), endpoint)


@pytest.mark.parametrize("text", ["AKIA…", "AKIA\r\nX: y", "AKIA\n"])
@pytest.mark.parametrize("member", ["access_key_id", "session_token"])
async def test_credentials_that_cannot_sign_ask_nothing(member: str, text: str) -> None:
    async with serving(says(whole(granted()))) as there:
        client = outbound(f"127.0.0.1:{there.port}")
        with pytest.raises(Unreachable, match="characters"):
            await ask(
                client,
                f"http://127.0.0.1:{there.port}/",
                replace(KEYS, **{member: text}),
            )
    assert there.asked == 0


async def test_a_closed_port_is_unreachable() -> None:
    async with serving(stay) as there:
        pass
    with pytest.raises(Unreachable):
        await ask_at(there)


def dated(minutes: int) -> str:
    theirs = datetime.now(UTC) + timedelta(minutes=minutes)
    return f"date: {format_datetime(theirs)}"


@pytest.mark.parametrize("minutes", [-30, 0, 30])
@pytest.mark.parametrize(
    "code", ["SignatureDoesNotMatch", "ExpiredTokenException", "InvalidIdentityToken"]
)
async def test_clocks_that_differ_are_told(code: str, minutes: int) -> None:
    answer = fault(code, 403, "expired", dated(minutes))
    async with serving(says(answer)) as there:
        with pytest.raises(Refused) as caught:
            await ask_at(there)
    assert ("clock" in str(caught.value)) == bool(minutes)


@pytest.mark.parametrize("minutes", [-30, 0, 30])
async def test_an_upstreams_clock_is_read_from_any_answer(minutes: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET /there ")
        writer.write(whole("no", 404, dated(minutes)))
        await writer.drain()

    async with serving(serve) as there:
        match = await seconds_ahead(there.port)
    assert match is not None
    assert abs(match - 60 * minutes) < upstream_client.SKEW_SECONDS


async def test_an_upstream_without_a_clock_or_an_answer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole("", 204))
        await writer.drain()

    async with serving(serve) as there:
        assert await seconds_ahead(there.port) is None
    with pytest.raises(Unreachable):
        await seconds_ahead(there.port)
    async with serving(stay) as there:
        with pytest.raises(Unclear):
            await asyncio.wait_for(seconds_ahead(there.port, SHORT), DEADLINE)


async def seconds_ahead(port: int, seconds: float = DEADLINE) -> float | None:
    upstream = UpstreamClient(outbound(f"127.0.0.1:{port}", seconds))
    try:
        return await upstream.seconds_ahead(
            AccountId(ACCOUNT), f"http://127.0.0.1:{port}/there"
        )
    finally:
        await upstream.close()


@pytest.mark.parametrize("said", ["", "yesterday", "Thu, 99 Foo 2026 00:00:00 GMT"])
async def test_an_invalid_date_is_ignored(said: str) -> None:
    answer = fault("RequestExpired", 400, "words", f"date: {said}")
    async with serving(says(answer)) as there:
        with pytest.raises(Refused) as caught:
            await ask_at(there)
    assert str(caught.value) == "words"


async def test_requests_beyond_the_limit_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream_client, "IN_FLIGHT_MAX", 2)
    async with serving(stay) as slow, serving(says(whole(granted()))) as quick:
        upstream = UpstreamClient(
            outbound(f"127.0.0.1:{slow.port},127.0.0.1:{quick.port}", SHORT)
        )

        def assume(there: There) -> Awaitable[UpstreamCredentials]:
            return upstream.assume(
                AccountId(ACCOUNT),
                f"http://127.0.0.1:{there.port}",
                PARAMETERS,
                region="eu-west-1",
                keys=None,
            )

        results = await asyncio.gather(
            *(assume(slow) for _ in range(4)), assume(quick), return_exceptions=True
        )
        await upstream.close()
    kinds = [type(entry) for entry in results]
    assert kinds == [Unclear, Unclear, Unreachable, Unreachable, UpstreamCredentials]


async def test_requests_that_have_ended_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream_client, "IN_FLIGHT_MAX", 1)
    answers = iter([whole(granted()), b"", fault("AccessDenied", 403), whole("<a/>")])

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await says(next(answers, whole(granted())))(reader, writer)

    async with serving(serve) as there:
        upstream = UpstreamClient(outbound(f"127.0.0.1:{there.port}"))
        results = [await asking(upstream, there) for _ in range(5)]
        await upstream.close()
    assert results == [
        UpstreamCredentials,
        Unclear,
        Refused,
        Unclear,
        UpstreamCredentials,
    ]


async def test_an_address_of_one_account_is_not_anothers() -> None:
    """Both have an upstream there, and only one may reach it."""
    async with serving(says(whole(granted()))) as there:
        upstream = UpstreamClient(outbound(f"{ACCOUNT}=127.0.0.1:{there.port}"))
        mine = await asking(upstream, there)
        other = await asking(upstream, there, AccountId("999988887777"))
        await upstream.close()
    assert (mine, other) == (UpstreamCredentials, Unreachable)
    assert there.asked == 1


async def asking(
    upstream: UpstreamClient, there: There, account: str = ACCOUNT
) -> type[object]:
    """The kind of what is answered, or raised."""
    try:
        stored_error: object = await upstream.assume(
            AccountId(account),
            f"http://127.0.0.1:{there.port}",
            PARAMETERS,
            region="eu-west-1",
            keys=None,
        )
    except (Refused, Unreachable, Unclear) as error:
        stored_error = error
    return type(stored_error)


PUT = (
    '<PutRolePolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
    "<ResponseMetadata><RequestId>c6104cbe</RequestId></ResponseMetadata>"
    "</PutRolePolicyResponse>"
)
DENIALS: dict[str, tuple[bytes, type[Exception] | None]] = {
    "done": (whole(PUT), None),
    "refused": (fault("AccessDenied", 403), Refused),
    "no such role": (fault("NoSuchEntity", 404), Refused),
    "away": (fault("ServiceUnavailable", 503), Unreachable),
    "a fault": (fault("ServiceFailure", 500), Unclear),
    "a page": (whole("<html>sign in</html>"), Unclear),
    "another answer": (whole(granted()), Unclear),
    "empty": (whole(""), Unclear),
    "closed": (b"", Unclear),
}


@pytest.mark.parametrize("case", DENIALS)
async def test_older_sessions_have_ended_only_if_iam_says_so(case: str) -> None:
    answer, outcome = DENIALS[case]
    async with serving(says(answer)) as there:
        upstream = UpstreamClient(outbound(f"127.0.0.1:{there.port}"))
        ending = upstream.deny_older(
            AccountId(ACCOUNT),
            f"http://127.0.0.1:{there.port}",
            "ReadOnly",
            "{}",
            region="us-east-1",
            keys=KEYS,
        )
        if outcome is None:
            await ending
        else:
            with pytest.raises(outcome):
                await ending
        await upstream.close()


async def test_upstreams_beyond_the_limit_cut_off_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream_client, "_UPSTREAMS_MAX", 1)
    release = asyncio.Event()

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        await says(whole(granted()))(reader, writer)

    async with serving(later) as slow, serving(says(whole(granted()))) as quick:
        upstream = UpstreamClient(
            outbound(f"127.0.0.1:{slow.port},127.0.0.1:{quick.port}")
        )

        async def assume(there: There) -> UpstreamCredentials:
            return await upstream.assume(
                AccountId(ACCOUNT),
                f"http://127.0.0.1:{there.port}",
                PARAMETERS,
                region="eu-west-1",
                keys=None,
            )

        waiting = asyncio.create_task(assume(slow))
        await asyncio.wait_for(slow.arrived.wait(), 5)
        await assume(quick)
        release.set()
        assert (await waiting).access_key_id
        await upstream.close()


SIGN_INS: dict[str, tuple[bytes, type[Exception]]] = {
    "refused": (whole("no", 400), Refused),
    "a fault": (whole("no", 500), Refused),
    "no JSON": (whole("<html>"), Unclear),
    "no token": (whole("{}"), Unclear),
    "a list": (whole("[]"), Unclear),
    "deep": (whole("[" * 200_000), Unclear),
    **{
        f"a token that is none: {token[:20]}": (
            whole(f'{{"SigninToken": {token}}}'),
            Unclear,
        )
        for token in ("null", "1e999", '""', '"a\\n"', r'"\ud800"', f'"{"x" * 8193}"')
    },
    "closed": (b"", Unclear),
}


@pytest.mark.parametrize("case", SIGN_INS)
async def test_a_sign_in_that_fails_gives_no_link(case: str) -> None:
    answer, outcome = SIGN_INS[case]
    async with serving(says(answer)) as there:
        upstream = UpstreamClient(outbound(f"127.0.0.1:{there.port}"))
        with pytest.raises(outcome):
            await upstream.signin_token(
                AccountId(ACCOUNT), f"http://127.0.0.1:{there.port}/federation", KEYS
            )
        await upstream.close()


def test_a_console_link_names_who_sends_people_back() -> None:
    url = urlsplit(
        login_url("https://there/federation", "T", "https://there/c/", "https://here/")
    )
    assert (url.netloc, url.path) == ("there", "/federation")
    assert dict(parse_qsl(url.query)) == {
        "Action": "login",
        "Issuer": "https://here/",
        "Destination": "https://there/c/",
        "SigninToken": "T",
    }


@pytest.mark.parametrize("seconds", [None, 900])
async def test_a_console_sessions_duration_is_asked_for_if_it_is_set(
    seconds: int | None,
) -> None:
    asked = await sign_in_body(seconds)
    assert asked.get("SessionDuration") == (seconds and str(seconds))
    assert json.loads(asked["Session"])["sessionKey"] == "secret"


async def sign_in_body(seconds: int | None = None) -> dict[str, str]:
    """What the federation endpoint gets."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(whole(json.dumps({"SigninToken": "T"})))
        await writer.drain()

    async with serving(serve) as there:
        upstream = UpstreamClient(outbound(f"127.0.0.1:{there.port}"))
        await upstream.signin_token(
            AccountId(ACCOUNT), f"http://127.0.0.1:{there.port}/", KEYS, seconds
        )
        await upstream.close()
    return dict(parse_qsl(seen[0].partition(b"\r\n\r\n")[2].decode()))


async def test_keys_travel_in_the_body() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await read_request(reader))
        writer.write(whole(json.dumps({"SigninToken": "T"})))
        await writer.drain()

    async with serving(serve) as there:
        upstream = UpstreamClient(outbound(f"127.0.0.1:{there.port}"))
        token = await upstream.signin_token(
            AccountId(ACCOUNT), f"http://127.0.0.1:{there.port}/federation", KEYS
        )
        await upstream.close()
    assert token == "T"
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert b"secret" in body
    assert b"secret" not in head
