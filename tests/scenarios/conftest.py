"""Brokers that run: a bare one for a file's tests, and one set up on each storage."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.installation import Installation
from tests.support.broker import Key, RunningBroker, running_broker
from tests.support.oidc_issuer import serving
from tests.support.servers import start_postgresql, start_redis


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


@pytest.fixture(scope="module", params=["embedded", "redis+postgresql"])
def installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("broker")
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        if request.param == "embedded":
            with running_broker(folder, internal_issuers=internal) as broker:
                yield Installation(broker, issuer)
            return
        with (
            start_redis() as redis,
            start_postgresql() as postgresql,
            running_broker(
                folder,
                internal_issuers=internal,
                redis_url=redis.url,
                database_url=postgresql.create_database("broker"),
            ) as broker,
        ):
            yield Installation(broker, issuer)
