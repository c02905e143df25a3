"""IAM's refusals as they were recorded from AWS.

``recorded_errors.json``: what is there, what is asked, and what AWS answered. The
sources are the recordings of February and March 2026 in localstack/localstack
(tests/aws/services/iam/test_iam_SOURCE.snapshot.json; in test_iam.snapshot.json, of
2025, for a SOURCE in parentheses), and answers that
mulgadc/spinifex and radkawar/stackd keep.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from broker.errors import BrokerError
from tests.support.iam import Iam, policy, trust

ROWS = json.loads(Path(__file__).with_name("recorded_errors.json").read_text("utf-8"))
_DOCUMENTS = {"{trust}": trust(), "{policy}": policy()}


async def ask(iam: Iam, name: str, params: dict[str, Any]) -> Any:
    return await iam(
        name,
        **{
            key: _DOCUMENTS.get(value, value) if isinstance(value, str) else value
            for key, value in params.items()
        },
    )


@pytest.mark.parametrize(
    "row", ROWS, ids=[f"{row['call'][0]}-{row['code']}" for row in ROWS]
)
async def test_a_recorded_refusal_is_given(iam: Iam, row: dict[str, Any]) -> None:
    for name, params in row["given"]:
        await ask(iam, name, params)
    with pytest.raises(BrokerError) as refusal:
        await ask(iam, *row["call"])
    assert (refusal.value.code, refusal.value.message) == (row["code"], row["message"])
