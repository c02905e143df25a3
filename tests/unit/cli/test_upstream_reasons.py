from datetime import UTC, datetime

from broker.cli.upstream_texts import explain_upstream
from broker.model.audit import AuditRecord, Outcome
from tests.support.rows import rows

ROLE = "arn:aws:iam::123456789012:role/Reader"


def record(code: str, detail: str, *resources: str) -> AuditRecord:
    return AuditRecord(
        event_id="e",
        at=datetime(2026, 11, 27, tzinfo=UTC),
        action="sts:AssumeRoleWithSAML",
        account=None,
        decision=Outcome.ERROR,
        error_code=code,
        detail=detail,
        resources=resources,
    )


@rows("code, detail, there, to_do")
def test_both_sides_are_told(code: str, detail: str, there: str, to_do: str) -> None:
    lines, results = explain_upstream(record(code, detail, ROLE))
    assert ROLE in lines[0]
    assert lines[1] == f"There: {there}"
    assert to_do in lines[2]
    assert results["there"] == there


def test_a_record_without_a_role_is_explained() -> None:
    lines, _ = explain_upstream(record("UpstreamUnavailable", "away"))
    assert "the role" in lines[0]


def test_other_errors_have_one_side() -> None:
    assert explain_upstream(record("AccessDenied", "x", ROLE)) == ([], {})
