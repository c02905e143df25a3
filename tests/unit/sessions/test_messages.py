import base64

import pytest

from broker.errors import InvalidAuthorizationMessage
from broker.model.account import AccountId
from broker.sessions.keyring import Keyring
from broker.sessions.messages import (
    LIFE_SECONDS,
    MESSAGE_CHARACTERS_MAX,
    AuthorizationMessages,
)
from tests.support.clocks import SteppedClock
from tests.unit.sessions.conftest import ACCOUNT


@pytest.fixture
def messages(keyring: Keyring) -> AuthorizationMessages:
    return AuthorizationMessages(keyring)


def sealed(messages: AuthorizationMessages, clock: SteppedClock, text: str) -> str:
    message = messages.seal(ACCOUNT, text, clock.now())
    assert message is not None
    return message


def test_a_message_opens_to_its_text(
    messages: AuthorizationMessages, clock: SteppedClock
) -> None:
    text = '{"allowed":false,"who":"ünder"}'
    message = sealed(messages, clock, text)
    assert messages.open(ACCOUNT, message, clock.now()) == text
    assert "allowed" not in message


def test_a_message_lives_for_36_hours(
    messages: AuthorizationMessages, clock: SteppedClock
) -> None:
    message = sealed(messages, clock, "x")
    clock.move(LIFE_SECONDS - 1)
    assert messages.open(ACCOUNT, message, clock.now()) == "x"
    clock.move(1)
    with pytest.raises(InvalidAuthorizationMessage):
        messages.open(ACCOUNT, message, clock.now())


def test_a_message_opens_for_its_account_only(
    messages: AuthorizationMessages, clock: SteppedClock
) -> None:
    message = sealed(messages, clock, "x")
    with pytest.raises(InvalidAuthorizationMessage):
        messages.open(AccountId("210987654321"), message, clock.now())


def test_any_changed_byte_breaks_the_seal(
    messages: AuthorizationMessages, clock: SteppedClock
) -> None:
    raw = base64.b64decode(sealed(messages, clock, "x"))
    for position in range(0, len(raw), 7):
        changed = bytearray(raw)
        changed[position] ^= 1
        with pytest.raises(InvalidAuthorizationMessage):
            messages.open(
                ACCOUNT, base64.b64encode(changed).decode("ascii"), clock.now()
            )


@pytest.mark.parametrize("message", ["", "A", "AAAA", "AQ==", "x\ny", "é", "A" * 500])
def test_a_malformed_message_is_refused(
    messages: AuthorizationMessages, clock: SteppedClock, message: str
) -> None:
    with pytest.raises(InvalidAuthorizationMessage):
        messages.open(ACCOUNT, message, clock.now())


def test_messages_of_like_texts_are_of_one_length(
    messages: AuthorizationMessages, clock: SteppedClock
) -> None:
    lengths = {len(sealed(messages, clock, "x" * n)) for n in range(1, 800, 50)}
    assert len(lengths) == 1


def test_a_text_that_is_too_long_is_not_sent(
    messages: AuthorizationMessages, clock: SteppedClock
) -> None:
    text = base64.b64encode(bytes(range(256)) * 4).decode("ascii")
    noise = "".join(text[n % 997 :: 3] + str(n * n) for n in range(900))
    message = messages.seal(ACCOUNT, noise, clock.now())
    assert message is None or len(message) <= MESSAGE_CHARACTERS_MAX
