import pytest
from msgspec import structs

from broker.errors import PackedPolicyTooLarge
from broker.model.account import AccountId
from broker.model.lineage import (
    Ancestor,
    FoldedAncestors,
    Lineage,
    Origin,
    read_lineage,
)
from broker.model.session import Session, SessionKind, SessionPolicies
from broker.sessions.contents import decode_session, encode_session
from tests.support.rows import cases


def round_trip(session: Session) -> Session:
    return decode_session(
        encode_session(session),
        access_key_id=session.access_key_id,
        account=session.account,
    )


def full(session: Session) -> Session:
    return structs.replace(
        session,
        parent_key_id="AKIARZPUZDIKAAAACAQD",
        policies=(
            SessionPolicies(None, ("arn:aws:iam::123456789012:policy/a",)),
            SessionPolicies(
                None,
                ("arn:aws:iam::aws:policy/a", "arn:aws:iam::123456789012:policy/b"),
                ("", "ANPAABCDEFGHIJKLMNOPQ"),
            ),
            SessionPolicies('{"Statement": []}', ()),
        ),
        source_identity="alice",
        mfa_at=1_789_000_000,
        chain_depth=2,
        ends_by=1_789_003_600,
        scope_count=1,
        mint_id="AAAAAAAAAAAAAAAAAAAAAA",
        lineage=Lineage(
            origin=Origin(
                account=AccountId("210987654321"),
                access_key_id="AKIARZPUZDIKAAAACAQD",
                principal_id="AIDAABCDEFGHIJKLMNOPQ",
                subject="digest",
                began_ms=1_788_999_000_000,
                mfa_shown=True,
                named_ms=1_788_999_000_001,
            ),
            ancestors=(
                Ancestor(
                    account=AccountId("210987654321"),
                    mint_id="BBBBBBBBBBBBBBBBBBBBBB",
                    access_key_id="ASIARZPUZDIKAAAACAQE",
                    principal_id="AROAABCDEFGHIJKLMNOPQ",
                    issued_at_ms=1_788_999_000_000,
                ),
            ),
            folded=(
                FoldedAncestors(
                    account=AccountId("210987654321"),
                    principal_id="AROAABCDEFGHIJKLMNOPQ",
                    first_ms=1_788_999_000_002,
                ),
            ),
            folded_until_ms=1_788_999_000_003,
        ),
    )


def test_a_full_session_comes_back_whole(session: Session) -> None:
    assert round_trip(full(session)) == full(session)


@pytest.mark.parametrize("name", Session.__struct_fields__)
def test_every_member_of_a_session_is_carried(session: Session, name: str) -> None:
    """A member added to Session must be added to the token's contents, too."""
    whole = full(session)
    params = getattr(whole, name)
    assert params, "give the full session a value for the new member"
    assert getattr(round_trip(whole), name) == params


def test_ancestors_of_earlier_versions_have_the_account_of_their_key_id() -> None:
    ancestor = ["mint", "ASIARZPUZDIKAAAACAQE", "AROAABCDEFGHIJKLMNOPQ", 1]
    row = [0, 0, 0, 0, 0, 0, 0, [ancestor]]
    assert read_lineage(row).ancestors[0].account == "123456789012"
    ancestor.append("210987654321")
    assert read_lineage(row).ancestors[0].account == "210987654321"
    ancestor[1], ancestor[4] = "A" * 20, 0
    with pytest.raises(ValueError, match="no account"):
        read_lineage(row)


@pytest.mark.parametrize("kind", list(SessionKind))
def test_every_kind_of_session_is_carried(session: Session, kind: SessionKind) -> None:
    values = structs.replace(session, kind=kind)
    assert round_trip(values) == values


def test_long_contents_are_deflated(session: Session) -> None:
    tags = {f"Department{n}": "engineering" for n in range(50)}
    values = structs.replace(session, tags=tags)
    assert len(encode_session(values)) < len(str(tags)) / 3
    assert round_trip(values) == values


def test_lone_surrogates_do_not_break_a_mint(session: Session) -> None:
    values = structs.replace(session, identity_context={"i:sub": ("\ud800",)})
    assert round_trip(values) == values


@cases("raw")
def test_unknown_contents_are_refused(session: Session, raw: bytes) -> None:
    """A newer version's extra member may be a restriction: it is not skipped."""
    with pytest.raises(ValueError):  # noqa: PT011  # any of its kinds
        decode_session(
            raw, access_key_id=session.access_key_id, account=session.account
        )


@pytest.mark.parametrize("size", [0, 50, 400, 1000, 3000])
def test_contents_are_filled_up_and_read_the_same(session: Session, size: int) -> None:
    raw = encode_session(session, size)
    assert len(raw) >= size
    assert (
        decode_session(
            raw, access_key_id=session.access_key_id, account=session.account
        )
        == session
    )


def test_what_could_not_be_read_again_is_not_written(session: Session) -> None:
    """Fifty tags of the longest texts pack well, and are longer than what is read."""
    for shortening in range(200):
        tags = {
            f"{number:02}{chr(0x20000) * 126}": chr(0x20001) * (256 - shortening)
            for number in range(50)
        }
        values = structs.replace(session, tags=tags)
        try:
            assert round_trip(values) == values
        except PackedPolicyTooLarge:
            assert shortening < 60, "what is short enough is taken"
        else:
            assert shortening > 0, "the longest tags are refused"
            break
