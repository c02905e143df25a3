"""What a caller holds goes through the same gate as what comes by the wire."""

from datetime import UTC, datetime

import pytest

from broker.actions.models import load_service_model
from broker.protocols.query import InputRejected, Service, flatten

IAM = Service(load_service_model("iam"))


def test_an_input_is_read_as_it_was_given() -> None:
    params = {
        "UserName": "carla",
        "Path": "/dev/",
        "Tags": [{"Key": "team", "Value": "blue"}, {"Key": "x", "Value": ""}],
    }
    assert IAM.reader("CreateUser")(flatten(params)) == params
    policy = {"MinimumPasswordLength": 12, "RequireNumbers": True}
    assert IAM.reader("UpdateAccountPasswordPolicy")(flatten(policy)) == policy


def test_every_kind_of_value_has_its_form() -> None:
    assert flatten(
        {
            "No": None,
            "Flag": False,
            "Number": 7,
            "Bytes": b"\x00",
            "Time": datetime(2026, 1, 2, tzinfo=UTC),
            "Empty": [],
            "Texts": ("a", "b"),
            "In": {"Side": "x", "Absent": None},
        }
    ) == {
        "Flag": "false",
        "Number": "7",
        "Bytes": "AA==",
        "Time": "2026-01-02T00:00:00+00:00",
        "Empty": "",
        "Texts.member.1": "a",
        "Texts.member.2": "b",
        "In.Side": "x",
    }


def test_a_value_of_no_known_type_is_a_mistake() -> None:
    with pytest.raises(TypeError, match=r"A\.member\.1"):
        flatten({"A": [object()]})


def test_a_broken_constraint_is_refused() -> None:
    with pytest.raises(InputRejected, match="userName"):
        IAM.reader("CreateUser")(flatten({"UserName": "a/b"}))
