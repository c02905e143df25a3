from datetime import UTC, datetime

import pytest

from broker.actions.models import load_service_model
from broker.protocols.query import InputReason, InputRejected, Service
from broker.protocols.shapes.model import ServiceModel
from tests.support.rows import of_file, rows

STS = Service(load_service_model("sts"))
IAM = Service(load_service_model("iam"))
ROLE = {"RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "s1"}

SECRET = "S3CR3T\x00\x7f"

EVERY_TYPE: ServiceModel = of_file(__file__, "EVERY_TYPE")
read_every_type = Service(EVERY_TYPE).reader("Do")


@pytest.mark.parametrize("text", ["+900", "0900", "900"])
def test_signs_and_leading_zeros_are_fine(text: str) -> None:
    assert STS.reader("GetSessionToken")({"DurationSeconds": text}) == {
        "DurationSeconds": 900
    }


def test_unknown_parameters_are_ignored() -> None:
    params = {**ROLE, "Unknown": "1", "Unknown.member.1": "2", "roleArn": "x", "": ""}
    assert STS.reader("AssumeRole")(params) == ROLE


def test_an_empty_list_is_absent() -> None:
    assert STS.reader("AssumeRole")({**ROLE, "Tags": "", "PolicyArns": ""}) == ROLE


def test_list_elements_are_put_in_numeric_order() -> None:
    params = {f"TransitiveTagKeys.member.{n}": f"k{n}" for n in (10, 9, 2, 1)}
    read = STS.reader("AssumeRole")({**ROLE, **params})
    assert read["TransitiveTagKeys"] == ["k1", "k2", "k9", "k10"]


def test_a_huge_index_costs_nothing() -> None:
    read = STS.reader("AssumeRole")({**ROLE, "TransitiveTagKeys.member.999999999": "k"})
    assert read["TransitiveTagKeys"] == ["k"]


def test_lengths_are_counted_in_code_points() -> None:
    arn = "arn:" + "\N{GRINNING FACE}" * 2044
    assert STS.reader("AssumeRole")({**ROLE, "RoleArn": arn})["RoleArn"] == arn
    with pytest.raises(InputRejected, match="less than or equal to 2048"):
        STS.reader("AssumeRole")({**ROLE, "RoleArn": arn + "x"})


def test_an_operation_without_input_reads_nothing() -> None:
    assert IAM.reader("GetAccountSummary")({"A": "b"}) == {}


def test_a_message_lists_a_bounded_number_of_violations() -> None:
    params = {f"Tags.member.{n}.Key": "*" for n in range(1, 5000)}
    with pytest.raises(InputRejected) as refusal:
        STS.reader("AssumeRole")({**ROLE, **params})
    message = refusal.value.message
    assert message is not None
    assert message.startswith("100 validation errors detected: ")
    assert message.count("failed to satisfy") == 100


def test_a_message_shows_a_bounded_part_of_a_value() -> None:
    with pytest.raises(InputRejected) as refusal:
        STS.reader("AssumeRole")({**ROLE, "ExternalId": "*" * 9_000_000})
    assert len(str(refusal.value.message)) < 11_000


def refusal_of(service: Service, operation: str, params: dict) -> str:
    try:
        service.reader(operation)(params)
    except InputRejected as refusal:
        return str(refusal.message)
    return ""


def test_no_secret_is_ever_in_a_message() -> None:
    """Every sensitive input of both models, too long and broken in every way."""
    checked = 0
    for service, name in ((STS, "sts"), (IAM, "iam")):
        model = load_service_model(name)
        for operation in service.operations:
            reference = model["operations"][operation].get("input")
            if reference is None:
                continue
            members = model["shapes"][reference["shape"]]["members"]
            for member, target in members.items():
                if not model["shapes"][target["shape"]].get("sensitive"):
                    continue
                message = refusal_of(service, operation, {member: SECRET * 20_000})
                assert SECRET[:6] not in message
                checked += bool(message)
    assert checked > 5


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"Flag": "true"}, {"Flag": True}),
        ({"Flag": "false"}, {"Flag": False}),
        ({"Flag": "1"}, {"Flag": True}),
        ({"Flag": "0"}, {"Flag": False}),
        ({"Blob": "AP8="}, {"Blob": b"\x00\xff"}),
        ({"Blob": ""}, {"Blob": b""}),
        ({"Long": "-9223372036854775808"}, {"Long": -(2**63)}),
        (
            {"Time": "2026-09-11T18:36:46Z"},
            {"Time": datetime(2026, 9, 11, 18, 36, 46, tzinfo=UTC)},
        ),
        (
            {"Time": "2026-09-11T20:36:46.5+02:00"},
            {"Time": datetime(2026, 9, 11, 18, 36, 46, 500_000, tzinfo=UTC)},
        ),
        ({"Map.entry.1.key": "k", "Map.entry.1.value": "v"}, {"Map": {"k": "v"}}),
        ({"Map": ""}, {}),
        ({"Union.B": "v"}, {"Union": {"B": "v"}}),
    ],
)
def test_values_are_read_as_their_type(given: dict, read: dict) -> None:
    assert read_every_type(given) == read


@rows("given")
def test_what_cannot_be_read_as_its_type_is_malformed(given: dict) -> None:
    with pytest.raises(InputRejected) as refusal:
        read_every_type(given)
    assert refusal.value.reason is InputReason.MALFORMED_INPUT


@rows("given")
def test_unions_and_maps_have_their_rules(given: dict) -> None:
    with pytest.raises(InputRejected) as refusal:
        read_every_type(given)
    assert refusal.value.reason is InputReason.VALIDATION_ERROR
