from datetime import UTC, datetime
from pathlib import Path

from broker.model.audit import COUNT_FAILURES, AuditRecord, Outcome, RecordKind, kind_of
from tests.support.in_process import in_process
from tests.support.rows import rows

_REPORTS = {"iam:GenerateCredentialReport", "iam:GenerateServiceLastAccessedDetails"}
"""They write, but nothing that anyone configures."""


def record(**members: object) -> AuditRecord:
    params = {"event_id": "1", "at": datetime.now(UTC), "account": None, **members}
    return AuditRecord(**params)  # type: ignore[arg-type]  # a test's own


@rows("decision, error_code, outcome")
def test_every_record_has_an_outcome(
    decision: str, error_code: str, outcome: Outcome
) -> None:
    assert record(decision=decision, error_code=error_code).outcome is outcome


@rows("action, outcome, provider, kind")
def test_what_a_call_is_about(
    action: str, outcome: str, provider: bool, kind: RecordKind
) -> None:
    record_kind = kind_of(action, outcome, is_mint=provider, has_provider=provider)
    assert record_kind is kind
    session = {"provider_arn": "arn"} if provider else None
    assert record(action=action, decision=outcome, session=session).kind is kind


async def test_the_kinds_fit_what_the_actions_declare(tmp_path: Path) -> None:
    async with in_process(tmp_path) as broker:
        for action in broker.services.registry:
            name = f"{action.service}:{action.name}"
            kind = kind_of(name, Outcome.ALLOWED, is_mint=False, has_provider=False)
            assert (kind is RecordKind.CHANGE) == (
                action.writes and name not in _REPORTS
            )


def test_a_count_stands_for_many() -> None:
    assert record().weight == 1
    counted = record(action=COUNT_FAILURES, parameters={"Failures": 17})
    assert counted.weight == 17


def test_what_mints_is_never_hidden_as_a_read() -> None:
    """Whatever later actions are called."""
    minted = record(action="new:GetSomething", decision="allowed", session={})
    assert minted.kind is RecordKind.CREDENTIALS
    assert record(action="new:GetSomething", decision="allowed").kind is RecordKind.READ
