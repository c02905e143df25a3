import pytest
from msgspec import structs

from broker.errors import ValidationError
from broker.model.session import Session
from broker.sessions.source_identity import require_source_identity

ALREADY = "The source identity is already set for this assume role session"


@pytest.fixture
def calling(session: Session) -> Session:
    return structs.replace(session, source_identity="alice")


@pytest.mark.parametrize("text", ["al", "a" * 64, "a_b+c=d,e.f@g-h"])
def test_it_is_set_once(session: Session, text: str) -> None:
    assert require_source_identity(text) == text
    assert require_source_identity(text, session) == text


def test_it_stays_down_the_chain(calling: Session) -> None:
    assert require_source_identity(None, calling) == "alice"
    assert require_source_identity("alice", calling) == "alice"


@pytest.mark.parametrize("other", ["bob", "Alice", "alice2"])
def test_it_cannot_change(calling: Session, other: str) -> None:
    with pytest.raises(ValidationError) as caught:
        require_source_identity(other, calling)
    assert caught.value.message == ALREADY


def test_a_source_identity_is_optional(session: Session) -> None:
    assert require_source_identity(None) is None
    assert require_source_identity(None, session) is None
