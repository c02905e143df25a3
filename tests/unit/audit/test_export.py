from datetime import UTC, datetime

import pytest

from broker.audit.export import csv_row
from broker.model.audit import AuditRecord


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1"]
)
def test_what_a_caller_chose_is_no_formula(text: str) -> None:
    record = AuditRecord(
        event_id="1",
        at=datetime.now(UTC),
        account=None,
        user_agent=text,
        resources=(text,),
    )
    cells = csv_row(record)
    assert cells.count(f"'{text}") == 2
    assert text not in cells
