import pytest

from broker import errors
from broker.actions.models import load_service_model
from broker.protocols.query import InputReason, InputRejected, QueryCall, Service
from broker.protocols.query.service import select_service
from tests.support.rows import rows

STS = Service(load_service_model("sts"))
IAM = Service(load_service_model("iam"))


def call(action: str, version: str | None) -> QueryCall:
    return QueryCall(action=action, version=version, params={}, wants_json=False)


def test_version_and_action_select_the_service() -> None:
    assert select_service((STS, IAM), call("AssumeRole", "2011-06-15")) is STS
    assert select_service((STS, IAM), call("ListUsers", "2010-05-08")) is IAM


@rows("action, version, message")
def test_what_no_service_has_is_an_invalid_action(
    action: str, version: str | None, message: str
) -> None:
    """Recorded: REC-A; the last one is derived."""
    with pytest.raises(InputRejected) as refusal:
        select_service((STS, IAM), call(action, version))
    assert refusal.value.reason is InputReason.INVALID_ACTION
    assert refusal.value.message == message


def test_an_invalid_action_is_shown_in_part() -> None:
    with pytest.raises(InputRejected) as refusal:
        select_service((STS, IAM), call("A" * 10**6, "B" * 10**6))
    assert len(str(refusal.value.message)) < 400


def test_every_reason_is_the_name_of_a_wire_error() -> None:
    for reason in InputReason:
        assert issubclass(getattr(errors, reason.value), errors.BrokerError)
        assert getattr(errors, reason.value).code == reason.value


def test_the_wire_errors_agree_with_the_models() -> None:
    """Where our table and a model know the same code, status and fault are equal."""
    modelled = {
        error.get("code", name): error
        for service in ("sts", "iam")
        for name, shape in load_service_model(service)["shapes"].items()
        if (error := shape.get("error"))
    }
    ours = {
        class_.code: class_
        for class_ in vars(errors).values()
        if isinstance(class_, type)
        and issubclass(class_, errors.BrokerError)
        and "code" in vars(class_)
    }
    shared = modelled.keys() & ours.keys()
    assert len(shared) >= 15
    for code in shared:
        assert ours[code].status == modelled[code]["httpStatusCode"], code
        assert (ours[code].fault is errors.Fault.SENDER) == modelled[code].get(
            "senderFault", False
        ), code


def test_readers_and_renderers_are_compiled_once() -> None:
    assert STS.reader("AssumeRole") is STS.reader("AssumeRole")
    assert STS.renderer("AssumeRole") is STS.renderer("AssumeRole")
    as_json = STS.renderer("AssumeRole", as_json=True)
    assert as_json is STS.renderer("AssumeRole", as_json=True)
    with pytest.raises(KeyError):
        STS.reader("NoSuchAction")
