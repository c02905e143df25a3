"""Brokers that run: a bare one for a file's tests, and one set up on each storage."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.installation import Installation
from tests.support.broker import Key, RunningBroker, running_broker
from tests.support.oidc_issuer import serving
from tests.support.storage import STORAGES, broker_on


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with running_broker(tmp_path_factory.mktemp("broker")) as made:
        yield made


@pytest.fixture(scope="module")
def root(broker: RunningBroker) -> Key:
    return broker.create_account()


@pytest.fixture(scope="module")
def iam(broker: RunningBroker, root: Key) -> Any:
    return broker.client("iam", root)


@pytest.fixture(scope="module", params=STORAGES)
def installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("broker")
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        with broker_on(request.param, folder, internal_issuers=internal) as broker:
            yield Installation(broker, issuer)
