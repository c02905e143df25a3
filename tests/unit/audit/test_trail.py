import json
from datetime import UTC, datetime
from typing import Any

from broker.audit.trail import trail_event, user_name
from broker.model.account import AccountId
from broker.model.audit import AuditRecord
from tests.support.rows import rows

ACCOUNT = AccountId("111122223333")
IAM = f"arn:aws:iam::{ACCOUNT}"


def event(**changed: Any) -> dict[str, Any]:
    params: dict[str, Any] = {
        "event_id": "an-id",
        "at": datetime(2026, 11, 27, 7, 30, tzinfo=UTC),
        "account": ACCOUNT,
        "action": "sts:AssumeRole",
        **changed,
    }
    results: dict[str, Any] = json.loads(trail_event(AuditRecord(**params)))
    return results


@rows("arn, type_, more")
def test_callers_are_the_kinds_of_awss_log(
    arn: str, type_: str, more: dict[str, Any]
) -> None:
    identity = event(caller_arn=arn, principal_id="AROAEXAMPLE:ann")["userIdentity"]
    assert identity["type"] == type_
    assert more.items() <= identity.items()


def test_the_source_identity_stands_where_awss_log_has_it() -> None:
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Reader/task"
    told = event(caller_arn=arn, source_identity="ann")["userIdentity"]
    assert told["sessionContext"]["sourceIdentity"] == "ann"


def test_what_was_refused_and_what_was_handed_out_is_told() -> None:
    session = {
        "access_key_id": "ASIAEXAMPLE",
        "expires_at": 1_800_000_000,
        "principal_arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/Reader/ann",
        "kind": "AssumeRole",
    }
    told = event(session=session, parameters={"RoleArn": "arn"})
    assert told["responseElements"]["credentials"]["accessKeyId"] == "ASIAEXAMPLE"
    assert told["requestParameters"] == {"RoleArn": "arn"}
    assert "errorCode" not in told
    refused = event(error_code="AccessDenied", detail="why", action="iam:GetUser")
    assert (refused["errorCode"], refused["errorMessage"]) == ("AccessDenied", "why")
    assert refused["readOnly"] is True
    assert refused["responseElements"] is None
    # What an upstream issued, and nobody got.
    lost = event(session=session, error_code="UpstreamOutcomeUnknown")
    assert lost["responseElements"] is None
    # The keys of a sign-in to the portal are nobody's.
    portal = event(
        session={**session, "kind": "Authenticate"}, action="sso:Authenticate"
    )
    assert portal["responseElements"] is None
    assert portal["eventSource"] == "sso.amazonaws.com"


def test_nobody_has_no_name() -> None:
    assert (
        user_name(AuditRecord(event_id="x", at=datetime.now(UTC), account=None)) == ""
    )
