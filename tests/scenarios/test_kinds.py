"""The requests of `tests/kinds` with boto3, on each storage."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore import xform_name

from tests.kinds.table import ACCOUNT, FILE, Known, read_requests
from tests.support.refusals import refused
from tests.support.storage import STORAGES, broker_on


@pytest.fixture(params=STORAGES)
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Any]]:
    """Makes a client of a service."""
    with broker_on(request.param, tmp_path_factory.mktemp("broker")) as broker:
        key = broker.create_account(ACCOUNT)
        yield lambda service: broker.client(service, key)


def expected() -> dict[str, list[list[str]]]:
    """The table's rows: of each title, those of each operation in turn."""
    titles = FILE.read_text("utf-8").split("\n## ")[1:]
    blocks = (title.strip().split("\n\n") for title in titles)
    return {title: [row.splitlines()[1:] for row in rows] for title, *rows in blocks}


def test_a_client_is_answered_as_the_table_says(client: Callable[[str], Any]) -> None:
    known, table, iam = Known(), expected(), client("iam")
    iam.create_user(UserName="reader")
    trust = known.values["TRUST"]
    iam.create_role(RoleName="Reader", AssumeRolePolicyDocument=trust)
    for title, steps in read_requests().items():
        service = title.rpartition("(")[2].rstrip(")")
        if service == "broker":  # boto3 knows no such service
            continue
        caller = client(service)
        for step, rows in zip(steps, table[title], strict=True):
            faults = step.pop("faults", {})
            only_faults = step.pop("only faults", False)
            if "region" in step:  # another than the client's
                continue
            ((operation, params),) = step.items()
            call = getattr(caller, xform_name(operation))
            for name, fault in faults.items() if only_faults else ():
                code = refused(call, **known.filled({**params, **fault})).code
                assert any(row.startswith(f"  {name}: {code}: ") for row in rows)
            if not only_faults and rows[-1].startswith("  {"):
                known.learn(call(**known.filled(params)))
            elif not only_faults:
                code = refused(call, **known.filled(params)).code
                assert rows[-1].startswith(f"  {code}: ")
