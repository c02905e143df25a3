"""The same work for a long time: answers, memory and open files stay what they were."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.scenarios.installation import READER, SAML_PROVIDER, Installation
from tests.support.broker import Key
from tests.support.oidc_issuer import serving
from tests.support.storage import STORAGES, broker_on

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "4000"))
KEPT_MB = 20
"""What the second half may leave: by then every cache of a worker is full."""

KEPT_FILES = 4


@pytest.fixture(scope="module", params=STORAGES)
def unlimited(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    folder: Path = tmp_path_factory.mktemp("soak")
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        settings = {"internal_issuers": internal, "rate_limit": "0"}
        with broker_on(request.param, folder, **settings) as broker:
            yield Installation(broker, issuer)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_long_time_leaves_nothing_behind(unlimited: Installation) -> None:
    work(unlimited, ROUNDS // 2)
    memory, files = unlimited.broker.resident_mb, open_files(unlimited)
    work(unlimited, ROUNDS // 2)
    assert unlimited.broker.resident_mb <= memory + KEPT_MB
    assert open_files(unlimited) <= files + KEPT_FILES


def work(installation: Installation, rounds: int) -> None:
    """Sign in, exchange, ask, change and look; whatever fails raises."""
    broker, iam = installation.broker, installation.iam
    with httpx2.Client(base_url=broker.url) as browser:
        for _ in range(rounds):
            answer = installation.web_identity()
            sts = broker.client("sts", Key.of(answer["Credentials"]))
            assert sts.get_caller_identity()["Arn"] == answer["AssumedRoleUser"]["Arn"]
            sts.close()
            installation.sts.assume_role_with_saml(
                RoleArn=READER,
                PrincipalArn=SAML_PROVIDER,
                SAMLAssertion=installation.assertion(),
            )
            iam.create_user(UserName="passing")
            iam.delete_user(UserName="passing")
            assert browser.get("/signin/example").status_code == 200


def open_files(installation: Installation) -> int:
    assert installation.broker.process is not None
    return len([*Path(f"/proc/{installation.broker.process.pid}/fd").iterdir()])
