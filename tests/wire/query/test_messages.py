"""The exact texts of refused parameters; each case says where it comes from."""

import json
from pathlib import Path

import pytest

from broker.actions.models import load_service
from broker.protocols.query import InputRejected
from tests.support.rows import rows

CASES = json.loads(Path(__file__).with_name("messages.json").read_text("utf-8"))
SERVICES = {name: load_service(name) for name in ("sts", "iam")}


@rows("case", CASES, ids=[case["name"] for case in CASES])
def test_a_refusal_has_the_recorded_code_and_text(case: dict) -> None:
    params = {
        name: value.replace("{0*1000000}", "0" * 1_000_000)
        for name, value in case["params"].items()
    }
    reader = SERVICES[case.get("service", "sts")].reader(case["operation"])
    with pytest.raises(InputRejected) as refusal:
        reader(params)
    assert refusal.value.reason == case["code"]
    assert refusal.value.message == case["message"]
