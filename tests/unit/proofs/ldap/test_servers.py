"""Servers that lie, hang, die or send too much; and the next one that answers."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sansldap import (
    BindRequest,
    ExtendedRequest,
    LDAPControl,
    LDAPResultCode,
    LDAPServer,
    PagedResultControl,
    PartialAttribute,
    SearchRequest,
)

from broker.model.secret import Secret
from broker.proofs.ldap import servers
from broker.proofs.ldap.connection import Dialler, LdapUnavailableError
from broker.proofs.ldap.people import LdapPeople, PersonRefusedError
from broker.protocols.ldap.accounts import AccountState
from tests.support.directory_world import describe, people_of, prove
from tests.support.effort import in_references
from tests.support.rows import cases
from tests.support.slapd import (
    PASSWORD,
    Slapd,
    dn_of,
    group,
    person,
    start_slapd,
    tls_certificate,
)

pytestmark = pytest.mark.allow_hosts(["127.0.0.1", "::1"])

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with start_slapd(person("ann"), group("staff", dn_of("ann"))) as server:
        yield server


def directory_of(
    slapd: Slapd, folder: Path, *addresses: str, **more: Any
) -> AbstractAsyncContextManager[LdapPeople, None]:
    params = describe(slapd, folder, Servers=list(addresses), TimeoutSeconds=0.5)
    return people_of({**params, **more}, folder)


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[str]:
    """A server on this computer; its address."""
    tasks: set[asyncio.Task[None]] = set()

    async def guarded(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    async def accept(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.ensure_future(guarded(reader, writer))
        tasks.add(task)
        await asyncio.wait([task])

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"ldap://127.0.0.1:{port}"
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.close()
        for _ in range(3):
            await asyncio.sleep(0)


def answering(act: Callable[[LDAPServer, Any], None]) -> Serve:
    """A server whose answers are ``act``'s."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        session = LDAPServer()
        while data := await reader.read(65536):
            for message in session.receive(data):
                act(session, message)
            writer.write(session.data_to_send())
            await writer.drain()

    return serve


def _bound(session: LDAPServer, message: Any) -> bool:
    if isinstance(message, BindRequest):
        session.bind_response(message.message_id)
        return True
    return False


async def _hang(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await writer.drain()
    await asyncio.Event().wait()


async def _closes(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A message of two gigabytes, a little at a time."""
    await reader.read(65536)
    writer.write(b"\x30\x84\x7f\xff\xff\xff")
    while True:
        writer.write(bytes(65536))
        await writer.drain()


def _encoded(tag: int, *parts: bytes) -> bytes:
    """A short value in BER."""
    body = b"".join(parts)
    return bytes((tag, len(body))) + body


_SUCCESS = _encoded(0x0A, b"\0") + _encoded(0x04) + _encoded(0x04)


def _message(number: int, operation: bytes) -> bytes:
    return _encoded(0x30, _encoded(0x02, bytes((number,))), operation)


def saying(*answers: bytes) -> Serve:
    """A server with a fixed answer to the first message, the second …"""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            await reader.read(65536)
            writer.write(answer)
            await writer.drain()
        await asyncio.Event().wait()

    return serve


_REFERRAL = _message(
    2,
    _encoded(
        0x65,
        _encoded(0x0A, b"\x0a"),
        _encoded(0x04) + _encoded(0x04),
        _encoded(0xA3, _encoded(0x04, b"ldap://127.0.0.1:1/dc=elsewhere")),
    ),
)
_GOODBYE = _message(
    0,
    _encoded(
        0x78,
        _encoded(0x0A, b"\x34") + _encoded(0x04) + _encoded(0x04),
        _encoded(0x8A, b"1.3.6.1.4.1.1466.20036"),
    ),
)


def _many(session: LDAPServer, message: Any) -> None:
    if not _bound(session, message):
        assert isinstance(message, SearchRequest)
        for number in range(50):
            session.search_result_entry(
                message.message_id,
                f"uid={number}",
                [PartialAttribute(name="uid", values=[bytes(1000)])],
            )
        session.search_result_done(message.message_id)


def _no_base(session: LDAPServer, message: Any) -> None:
    if not _bound(session, message):
        session.search_result_done(
            message.message_id, result_code=LDAPResultCode.NO_SUCH_OBJECT
        )


def _stops_early(session: LDAPServer, message: Any) -> None:
    """One entry, of who knows how many."""
    if not _bound(session, message):
        uid = PartialAttribute(name="uid", values=[b"ann"])
        session.search_result_entry(message.message_id, "uid=ann", [uid])
        session.search_result_done(
            message.message_id, result_code=LDAPResultCode.SIZE_LIMIT_EXCEEDED
        )


def _refuses_service(session: LDAPServer, message: Any) -> None:
    session.bind_response(
        message.message_id, result_code=LDAPResultCode.INVALID_CREDENTIALS
    )


BAD: dict[str, tuple[Serve, str, str]] = {
    "hangs": (_hang, "service bind", "did not answer within"),
    "is not LDAP": (_garbage, "service bind", "not LDAP"),
    "hangs up": (_closes, "service bind", "hung up"),
    "sends without end": (_endless, "service bind", "sends too much"),
    "refers elsewhere": (
        saying(_message(1, _encoded(0x61, _SUCCESS)), _REFERRAL),
        "search",
        "REFERRAL",
    ),
    "sends too many": (answering(_many), "search", "sends too much"),
    "answers another question": (
        saying(_message(8, _encoded(0x61, _SUCCESS))),
        "service bind",
        "not LDAP",
    ),
    "says goodbye": (saying(_GOODBYE), "service bind", "closed the session"),
    "has no such base": (answering(_no_base), "search", "NO_SUCH_OBJECT"),
    "finds fewer than asked for": (
        answering(_stops_early),
        "search",
        "SIZE_LIMIT_EXCEEDED",
    ),
    "refuses the service": (answering(_refuses_service), "service bind", "refused"),
}


def _long(tag: int, *parts: bytes) -> bytes:
    """A value of any length in BER."""
    body = b"".join(parts)
    return bytes((tag, 0x84)) + len(body).to_bytes(4, "big") + body


def _answer(operation: bytes, *controls: bytes) -> bytes:
    more = [_long(0xA0, *controls)] if controls else []
    return _long(0x30, _encoded(0x02, b"\2"), operation, *more)


def _entry(*attributes: bytes) -> bytes:
    name = _encoded(0x04, b"uid=ann")
    return _answer(_long(0x64, name, _long(0x30, *attributes)))


_ATTRIBUTE = _encoded(0x30, _encoded(0x04, b"uid"), _encoded(0x31))
_PAGES = _encoded(0x04, b"1.2.840.113556.1.4.319")
_EMPTY = _encoded(0x04)
_HUGE = b"\1" * 400_000
_DONE = _long(0x65, _SUCCESS)
_NUMBER = _long(0x02, b"\1" * 30_000)

TOO_MUCH = r"sends too much|not LDAP|more than one answer"
HOSTILE = {
    "values": _entry(
        _long(0x30, _encoded(0x04, b"uid"), _long(0x31, _EMPTY * 600_000))
    ),
    "values of a message that is not too long": _entry(
        _long(0x30, _encoded(0x04, b"uid"), _long(0x31, _EMPTY * 14_000))
    ),
    "attributes": _entry(_ATTRIBUTE * 7_000),
    "entries": _entry() * 60_000,
    "references": _answer(_long(0x73, _EMPTY * 14_000)),
    "messages with references": _answer(_encoded(0x73, _EMPTY)) * 90_000,
    "referrals": _answer(_long(0x65, _SUCCESS, _long(0xA3, _EMPTY * 14_000))),
    "controls": _answer(_DONE, _encoded(0x30, _encoded(0x04, b"1.2")) * 3_000),
    "a number": _long(0x30, _long(0x02, _HUGE), _DONE),
    "a result": _answer(_long(0x65, _long(0x0A, _HUGE[:30_000]), _EMPTY, _EMPTY)),
    "a number of entries": _answer(
        _DONE, _long(0x30, _PAGES, _long(0x04, _long(0x30, _NUMBER, _EMPTY)))
    ),
    "elements behind a long tag": _long(
        0x30, _encoded(0x02, b"\2"), _DONE, b"\x9f\x85\0\0\0\x36\xb0" + b"\0" * 14_000
    ),
    "two answers": _answer(_DONE) * 2,
}
"""Answers of less than two megabytes that took seconds to read."""


@pytest.mark.parametrize("case", HOSTILE)
async def test_an_answer_costs_no_more_than_what_was_asked_for(
    slapd: Slapd, tmp_path: Path, case: str
) -> None:
    bound = _message(1, _encoded(0x61, _SUCCESS))
    plain = {"AllowPlaintext": True, "TimeoutSeconds": 5}
    seconds = []
    async with serving(saying(bound, HOSTILE[case])) as server:
        for _ in range(3):
            async with directory_of(slapd, tmp_path, server, **plain) as people:
                began = time.process_time()
                with pytest.raises(LdapUnavailableError, match=TOO_MUCH):
                    await people.find_entry("ann")
                seconds.append(time.process_time() - began)
    assert in_references(min(seconds)) < 20


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_server_is_told_and_the_next_one_asked(
    slapd: Slapd, tmp_path: Path, case: str
) -> None:
    serve, stage, words = BAD[case]
    good = f"ldap://127.0.0.1:{slapd.port}"
    async with serving(serve) as bad:
        plain = {"AllowPlaintext": True}
        async with directory_of(slapd, tmp_path, bad, **plain) as people:
            with pytest.raises(LdapUnavailableError, match=words) as refused:
                await prove(people)
            assert refused.value.stage == stage
            # For a moment nobody waits for it again.
            with pytest.raises(LdapUnavailableError) as again:
                await prove(people)
            assert again.value is refused.value
        async with directory_of(slapd, tmp_path, bad, good, **plain) as people:
            assert (await prove(people)).username == "ann"
            # Now it comes last, so nobody waits for it.
            assert (await prove(people)).username == "ann"


async def test_a_referral_is_not_followed(slapd: Slapd, tmp_path: Path) -> None:
    """Nothing that a server sends makes the broker connect anywhere."""
    asked: list[str] = []

    async def note(
        _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter
    ) -> None:
        asked.append("connected")

    async with serving(note) as elsewhere:

        def refers(session: LDAPServer, message: Any) -> None:
            if not _bound(session, message):
                session.search_result_reference(message.message_id, [elsewhere])
                session.search_result_done(message.message_id)

        async with (
            serving(answering(refers)) as server,
            directory_of(slapd, tmp_path, server, AllowPlaintext=True) as people,
        ):
            assert await people.find_entry("ann") is None
    assert not asked


_HEARD: list[Any] = []
"""Plaintext that was sent after the request for TLS."""


async def _strips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Someone on the way who refuses TLS, to read the password in clear text."""
    session = LDAPServer()
    while data := await reader.read(65536):
        for message in session.receive(data):
            if not isinstance(message, ExtendedRequest):
                _HEARD.append(message)
            session.extended_response(
                message.message_id, result_code=LDAPResultCode.PROTOCOL_ERROR
            )
        writer.write(session.data_to_send())


async def _injects(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Someone on the way who adds an answer in clear text for after TLS."""
    session = LDAPServer()
    data = await reader.read(65536)
    (message,) = session.receive(data)
    session.extended_response(message.message_id)
    writer.write(session.data_to_send() + _message(2, _encoded(0x61, _SUCCESS)))
    await writer.drain()
    await reader.read(65536)


@cases("serve, words")
async def test_nothing_is_said_without_tls(
    slapd: Slapd, tmp_path: Path, serve: Serve, words: str
) -> None:
    async with (
        serving(serve) as server,
        directory_of(slapd, tmp_path, server, StartTLS=True) as people,
    ):
        with pytest.raises(LdapUnavailableError, match=words) as refused:
            await prove(people)
        assert refused.value.stage == "TLS"
    assert not _HEARD


CERTIFICATES: dict[str, tuple[dict[str, Any], str]] = {
    "another authority": ({"CaFile": "other.pem"}, "self-signed"),
    "the system's authorities": ({"CaFile": None}, "self-signed"),
    "StartTLS, another authority": (
        {"CaFile": "other.pem", "StartTLS": True, "Servers": "ldap://localhost"},
        "self-signed",
    ),
}


@pytest.mark.parametrize("case", CERTIFICATES)
async def test_only_the_servers_own_certificate_will_do(
    slapd: Slapd, tmp_path: Path, case: str
) -> None:
    params, words = CERTIFICATES[case]
    more = dict(params)
    (tmp_path / "other.pem").write_text(tls_certificate("localhost")[0])
    if more.get("CaFile"):
        more["CaFile"] = str(tmp_path / more["CaFile"])
    place = more.pop("Servers", "ldaps://localhost")
    port = slapd.tls_port if place.startswith("ldaps") else slapd.port
    async with directory_of(slapd, tmp_path, f"{place}:{port}", **more) as people:
        with pytest.raises(LdapUnavailableError, match=words) as refused:
            await prove(people)
        assert refused.value.stage == "TLS"


async def test_a_certificate_for_another_name_will_not_do(
    slapd: Slapd, tmp_path: Path
) -> None:
    certificate, key = tls_certificate("elsewhere.example.com")
    (tmp_path / "cert.pem").write_text(certificate)
    (tmp_path / "key.pem").write_text(key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server = await asyncio.start_server(_hang, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    address, ca_file = f"ldaps://localhost:{port}", str(tmp_path / "cert.pem")
    async with directory_of(slapd, tmp_path, address, CaFile=ca_file) as people:
        with pytest.raises(LdapUnavailableError, match="Hostname mismatch") as refused:
            await prove(people)
        assert refused.value.stage == "TLS"
    server.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1:DeprecationWarning")
async def test_old_tls_is_refused(slapd: Slapd, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1_1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.load_cert_chain(slapd.ca_file, slapd.folder / "key.pem")
    server = await asyncio.start_server(_hang, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with directory_of(slapd, tmp_path, f"ldaps://localhost:{port}") as people:
        with pytest.raises(LdapUnavailableError) as refused:
            await prove(people)
        assert refused.value.stage == "TLS"
    server.close()


async def _trickles(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A message that never ends, although each part arrives in time."""
    await reader.read(65536)
    writer.write(b"\x30\x84\x00\x00\x7f\xff")
    while True:
        writer.write(b"\0")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_parts_that_come_in_time_have_an_end_all_the_same(
    slapd: Slapd, tmp_path: Path
) -> None:
    plain = {"AllowPlaintext": True, "TimeoutSeconds": 0.2}
    async with (
        asyncio.timeout(20),
        serving(_trickles) as server,
        directory_of(slapd, tmp_path, server, **plain) as people,
    ):
        with pytest.raises(LdapUnavailableError, match=r"within 0\.6 s"):
            await people.find_entry("ann")


async def test_a_connection_that_died_meanwhile_is_replaced(tmp_path: Path) -> None:
    with start_slapd(person("ann")) as own:
        address = f"ldap://127.0.0.1:{own.port}"
        async with directory_of(own, tmp_path, address, AllowPlaintext=True) as people:
            assert (await prove(people)).username == "ann"
            own.restart()
            assert (await prove(people)).username == "ann"


async def test_many_at_once_are_served_by_few_connections(
    slapd: Slapd, tmp_path: Path
) -> None:
    address = f"ldaps://localhost:{slapd.tls_port}"
    async with directory_of(slapd, tmp_path, address, TimeoutSeconds=5) as people:
        subject = (
            await people.authenticate("ann", Secret(PASSWORD), datetime.now(UTC))
        ).subject
        persons = await asyncio.gather(
            *(people.get_current(subject, datetime.now(UTC)) for _ in range(60))
        )
        assert {entry.username for entry in persons} == {"ann"}


async def test_too_many_who_wait_for_one_that_hangs_are_sent_away(
    slapd: Slapd, tmp_path: Path
) -> None:
    async with serving(_hang) as server:
        plain = {"AllowPlaintext": True, "TimeoutSeconds": 1}
        async with directory_of(slapd, tmp_path, server, **plain) as people:
            results = await asyncio.gather(
                *(people.find_entry("ann") for _ in range(100)), return_exceptions=True
            )
    assert all(isinstance(result, LdapUnavailableError) for result in results)
    assert (
        sum("too many requests are waiting" in str(result) for result in results) == 36
    )


@cases("name, password")
async def test_what_cannot_be_right_asks_no_server(
    slapd: Slapd, tmp_path: Path, name: str, password: str
) -> None:
    async with directory_of(slapd, tmp_path, "ldaps://localhost:1") as people:
        with pytest.raises(PersonRefusedError) as refused:
            await people.authenticate(name, Secret(password), datetime.now(UTC))
    assert refused.value.state is AccountState.WRONG


async def test_a_connection_that_owes_an_answer_is_not_used_again(
    slapd: Slapd, tmp_path: Path
) -> None:
    """The late answer would be taken for that to the next question."""
    async with (
        serving(_hang) as server,
        directory_of(slapd, tmp_path, server, AllowPlaintext=True) as people,
    ):
        (address,) = people.servers
        context = ssl.create_default_context()
        dialler = Dialler("corp", context, start_tls=False, timeout_seconds=0.2)
        connection = await dialler.open(address)
        assert connection.is_usable
        with pytest.raises(LdapUnavailableError):
            await connection.bind(dn_of("ann"), Secret(PASSWORD))
        assert not connection.is_usable
        connection.close()
        dialler.close()


async def test_pages_without_end_are_left_at_the_bound(
    slapd: Slapd, tmp_path: Path
) -> None:
    def pages(session: LDAPServer, message: Any) -> None:
        if _bound(session, message):
            return
        controls: list[LDAPControl] = []
        if message.controls:
            controls.append(PagedResultControl(critical=False, size=0, cookie=b"more"))
            asked.append(message.message_id)
        for number in range(100 if controls else 1):
            session.search_result_entry(
                message.message_id,
                f"cn={len(asked)}-{number}",
                [
                    PartialAttribute(name=name, values=[b"ann"])
                    for name in ("entryUUID", "uid", "cn")
                ],
            )
        session.search_result_done(message.message_id, controls=controls)

    asked: list[int] = []
    plain = {"AllowPlaintext": True, "TimeoutSeconds": 5}
    async with (
        serving(answering(pages)) as server,
        directory_of(slapd, tmp_path, server, **plain) as people,
    ):
        with pytest.raises(LdapUnavailableError, match="more than 1000 groups"):
            await people.get_current("ann", datetime.now(UTC))
    assert len(asked) == 11


@pytest.mark.parametrize(
    "code", [LDAPResultCode.SIZE_LIMIT_EXCEEDED, LDAPResultCode.ADMIN_LIMIT_EXCEEDED]
)
async def test_a_list_beyond_its_servers_limit_does_not_block_other_people(
    slapd: Slapd, tmp_path: Path, code: LDAPResultCode
) -> None:
    def cuts_groups_off(session: LDAPServer, message: Any) -> None:
        if _bound(session, message):
            return
        session.search_result_entry(
            message.message_id,
            "uid=ann",
            [
                PartialAttribute(name=name, values=[b"ann"])
                for name in ("entryUUID", "uid", "cn")
            ],
        )
        is_paged = bool(message.controls)
        session.search_result_done(
            message.message_id, result_code=code if is_paged else LDAPResultCode.SUCCESS
        )

    async with (
        serving(answering(cuts_groups_off)) as server,
        directory_of(slapd, tmp_path, server, AllowPlaintext=True) as people,
    ):
        with pytest.raises(LdapUnavailableError, match=code.name) as cut:
            await prove(people)
        # The servers are asked again for the next one.
        with pytest.raises(LdapUnavailableError, match=code.name) as again:
            await prove(people)
        assert again.value is not cut.value


def _finds_nobody(session: LDAPServer, message: Any) -> None:
    if not _bound(session, message):
        session.search_result_done(message.message_id)


async def test_connections_are_kept_few_and_not_for_long(
    slapd: Slapd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, closed = 0, 0

    async def counted(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal opened, closed
        opened += 1
        try:
            await answering(_finds_nobody)(reader, writer)
        finally:
            closed += 1

    plain = {"AllowPlaintext": True, "TimeoutSeconds": 5}
    async with (
        serving(counted) as server,
        directory_of(slapd, tmp_path, server, **plain) as people,
    ):
        await asyncio.gather(*(people.find_entry("ann") for _ in range(9)))
        async with asyncio.timeout(5):
            while opened - closed > 4:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        before = opened
        await people.find_entry("ann")
        assert opened == before
        monkeypatch.setattr(servers, "_IDLE_SECONDS", 0)
        await people.find_entry("ann")
        assert opened == before + 1
