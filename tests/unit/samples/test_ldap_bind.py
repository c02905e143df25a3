"""The bytes of a simple bind: what libldap sends, and what is malformed."""

import asyncio

import pytest

from samples.protected.postgresql.database_logins import (
    MESSAGE_BYTES_MAX,
    BindMalformed,
    ResultCode,
    SimpleBind,
    receive_bind,
)
from tests.support.rows import of_file

# As PostgreSQL 15 with libldap 2.5 sent it.
SENT = bytes.fromhex("301602010160110201030405616c6963658005") + b"hello"


def received(data: bytes) -> SimpleBind:
    async def read() -> SimpleBind:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await receive_bind(reader)

    return asyncio.run(read())


def element(tag: int, content: bytes) -> bytes:
    if len(content) < 128:
        return bytes([tag, len(content)]) + content
    size = len(content).to_bytes(4, "big")
    return bytes([tag, 0x84]) + size + content


def bind(
    *,
    message_id: bytes = b"\x01",
    version: bytes = b"\x03",
    name: bytes = b"alice",
    password: bytes = b"hello",
    simple: int = 0x80,
    op: int = 0x60,
    inside: bytes = b"",
    after: bytes = b"",
) -> bytes:
    content = element(2, version) + element(4, name) + element(simple, password)
    bound = element(op, content + inside)
    return element(0x30, element(2, message_id) + bound + after)


def test_what_libldap_sends_is_read() -> None:
    assert bind() == SENT
    assert received(SENT) == SimpleBind(b"\x01", b"alice", b"hello")
    assert received(SENT + b"\x30\x05") == received(SENT), "the next message is left"
    assert b"hello" not in repr(received(SENT)).encode()
    long = b"x" * (MESSAGE_BYTES_MAX - 40)
    assert received(bind(password=long)).password == long


MALFORMED = of_file(__file__, "MALFORMED")


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(BindMalformed):
        received(data)


def test_every_cut_and_every_changed_octet_is_refused_or_read() -> None:
    for end in range(len(SENT)):
        with pytest.raises((asyncio.IncompleteReadError, BindMalformed, ValueError)):
            received(SENT[:end])
    for place in range(len(SENT)):
        for octet in range(256):
            changed = SENT[:place] + bytes([octet]) + SENT[place + 1 :]
            try:
                results = received(changed)
            except (BindMalformed, asyncio.IncompleteReadError):
                continue
            assert len(results.name + results.password) <= len(b"alicehello")


def test_the_result_repeats_the_number() -> None:
    values = SimpleBind(b"\x12\x34", b"", b"")
    assert (
        values.result(ResultCode.SUCCESS).hex() == "300d020212346107" + "0a010004000400"
    )
    refused = values.result(ResultCode.INVALID_CREDENTIALS, "é" * 500)
    assert refused[:2] == bytes([0x30, len(refused) - 2])
    assert refused.endswith(b"\x04\x64" + b"?" * 100)
