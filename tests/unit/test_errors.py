"""docs/errors.md says of every error what the code says."""

import re
from collections.abc import Iterator
from pathlib import Path

from broker.actions.models import load_service_model
from broker.errors import BrokerError, Fault

DOCUMENT = Path(__file__).parents[2] / "docs" / "errors.md"
ROW = re.compile(r"\| `(\w+)` \| (\d+) \| (.+?) \| (.+) \|")


def error_classes(base: type[BrokerError] = BrokerError) -> Iterator[type[BrokerError]]:
    for each in base.__subclasses__():
        # A class without a code is a family of errors, and none itself.
        if each.__module__ == BrokerError.__module__ and "code" in vars(each):
            yield each
        yield from error_classes(each)


def documented() -> list[tuple[str, int, str]]:
    rows = ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert all(advice.endswith(".") for *_, advice in rows)
    return [(code, int(status), when) for code, status, when, _ in rows]


def test_the_document_has_every_error_with_its_status_and_meaning() -> None:
    expected = [
        (each.code, each.status, (each.__doc__ or "").splitlines()[0])
        for each in error_classes()
    ]
    assert sorted(documented()) == sorted(expected)


def test_no_code_means_two_things() -> None:
    codes = [each.code for each in error_classes()]
    assert sorted(codes) == sorted(set(codes))


def test_who_is_at_fault_follows_from_the_status() -> None:
    for each in error_classes():
        receiver = each.status >= 500
        assert (each.fault is Fault.RECEIVER) == receiver, each.code


def test_modelled_errors_have_the_models_code_and_status() -> None:
    """Oracle: botocore's service models."""
    ours = {each.code: each.status for each in error_classes()}
    for name in ("sts", "iam"):
        shapes = load_service_model(name)["shapes"]
        for shape in shapes.values():
            error = shape.get("error")
            if error is not None and error["code"] in ours:
                assert ours[error["code"]] == error["httpStatusCode"], error["code"]
