"""What was used up under an earlier version stays used up: marks keep their keys."""

import hashlib
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from broker.actions.signin.signin_tokens import use_of
from broker.actions.sts.proof_marks import proof_marks
from broker.model.request import Door

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ASSERTION = ("SAMLSPX", "https://idp.example.com", "_a1")


def key_of(*parts: str) -> bytes:
    text = b"".join(len(part).to_bytes(8, "big") + part.encode() for part in parts)
    return hashlib.sha256(b"broker/1/replay" + text).digest()


@pytest.mark.parametrize(
    ("knobs", "parts"),
    [
        ({}, ASSERTION),
        ({"once_per_door": True}, (*ASSERTION, "saml")),
    ],
)
def test_of_assertions_and_tokens(knobs: dict[str, bool], parts: tuple[str]) -> None:
    params = {"once_per_door": False, **knobs}
    identity: Any = SimpleNamespace(
        replay_id=ASSERTION, usable_until=NOW, second_use_until=NOW, **params
    )
    request = SimpleNamespace(door=Door.SAML, request_id="1")
    call: Any = SimpleNamespace(request=request, now=NOW, mark=None)
    mark, again = proof_marks(identity, call)
    assert mark is not None
    assert again is not None
    assert (mark.key, again.key) == (key_of(*parts), key_of(*parts, "again"))


def test_of_sign_in_tokens() -> None:
    assert use_of("VCQgs5qZZt3Q6fn8Tr5EXAMPLE", NOW).key == key_of(
        "signin-token", "VCQgs5qZZt3Q6fn8Tr5EXAMPLE"
    )
