"""Records and marks as rows, and batches of them as PostgreSQL's arrays."""

from datetime import UTC, datetime, timedelta

from broker.model.audit import AuditRecord
from broker.stores.audit_rows import decode_audit, encode_audit
from broker.stores.ledger.postgresql_statements import write_arguments
from broker.stores.times import from_micros, to_micros

AT = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)


def test_marks_go_in_the_order_of_their_keys() -> None:
    """Two workers that insert the same marks never wait for each other in a ring."""
    record = AuditRecord(event_id="1", at=AT, account=None, door="api", action="x")
    row = encode_audit(record)
    minted = [(row, (key, key.decode(), 1)) for key in (b"c", b"a", b"b")]
    keys, ids, _, marks, *_ = write_arguments([*minted, (row, None)], [row])
    assert keys == [b"a", b"b", b"c"]
    assert ids == ["a", "b", "c"]
    assert marks == [b"c", b"a", b"b", None, None]


def test_what_json_does_not_know_is_written_down_plainly() -> None:
    record = AuditRecord(
        event_id="1",
        at=AT,
        account=None,
        door="api",
        action="x",
        parameters={"when": AT, "some": frozenset({"b", "a"}), "raw": b"secret"},
    )
    event_id, at, account, *_, body, _ = encode_audit(record)
    audit_record = decode_audit(event_id, at, account, body)
    assert audit_record.parameters == {
        "when": AT.isoformat(),
        "some": ["a", "b"],
        "raw": "(6 bytes)",
    }


def test_members_that_a_newer_version_wrote_are_left_out() -> None:
    record = decode_audit("1", 0, "", '{"door":"api","action":"x","novel":1}')
    assert (record.door, record.account) == ("api", None)


def test_times_are_kept_to_the_microsecond() -> None:
    for at in (AT, AT - timedelta(days=40_000), datetime(9999, 12, 31, tzinfo=UTC)):
        assert from_micros(to_micros(at)) == at
