"""An identity provider changes its keys: nobody is turned away, and all workers agree.

A real `broker serve` with two workers and Redis; the metadata comes over HTTP.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.scenarios.installation import ADMIN, SAML_PROVIDER, Installation
from tests.support.broker import ACCOUNT, running_broker
from tests.support.oidc_issuer import serving
from tests.support.refusals import refused
from tests.support.saml_idp import key_pair, make_key_pair
from tests.support.saml_publisher import Publisher, publishing, signed_metadata
from tests.support.servers import start_redis

TODAY = datetime.now(UTC)
OLD = key_pair()
NEW = make_key_pair(not_before=TODAY)
NEXT = make_key_pair(not_before=TODAY)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as running:
        yield running


@pytest.fixture
def installation(tmp_path: Path, publisher: Publisher) -> Iterator[Installation]:
    with (
        serving("/idp") as issuer,
        start_redis() as redis,
        running_broker(
            tmp_path,
            workers=2,
            internal_issuers=(f"127.0.0.1:{issuer.port},127.0.0.1:{publisher.port}"),
            redis_url=redis.url,
        ) as broker,
    ):
        yield Installation(broker, issuer)


def test_a_roll_over_turns_no_one_away(
    installation: Installation, publisher: Publisher
) -> None:
    broker = installation.broker
    publisher.text = signed_metadata(OLD, OLD, NEW)
    pins = (OLD.certificate_pem + NEW.certificate_pem).decode()
    options = {"MetadataUrl": publisher.url, "MetadataCertificate": pins}
    values = [f"{name}={value}" for name, value in options.items()]
    broker.command("providers", "set", SAML_PROVIDER, *values)
    time.sleep(1)  # until every worker knows of the option

    # The new key signs at once, on many connections and on both workers.
    def sign_in(_: int) -> str:
        response = installation.assertion(signing_key=NEW)
        answer = installation.saml(response)
        return str(installation.identity(answer)["Arn"])

    with ThreadPoolExecutor(8) as pool:
        arns = list(pool.map(sign_in, range(16)))
    assert {arn.split(":")[4] for arn in arns} == {ACCOUNT}
    assert publisher.hits == 1

    # A key that nobody vouches for stays outside, and costs at most one look.
    publisher.text = signed_metadata(NEXT, NEXT)
    for _ in range(5):
        response = installation.assertion(signing_key=NEXT)
        assert refused(lambda r=response: installation.saml(r)).code == (
            "InvalidIdentityToken"
        )
    assert publisher.hits <= 2
    doctor = json.loads(broker.command("providers", "list", "--json").splitlines()[0])
    assert doctor["Options"] == options

    # An operator has the next document read now; it withdraws the old key.
    publisher.text = signed_metadata(NEW, NEW, NEXT)
    time.sleep(10.5)  # the cool-down
    said = json.loads(broker.command("providers", "refresh", SAML_PROVIDER))
    assert said["Problem"] == ""
    time.sleep(1)  # until every worker knows
    installation.saml(installation.assertion(ADMIN, signing_key=NEXT), RoleArn=ADMIN)
    assert refused(
        lambda: installation.saml(installation.assertion(signing_key=OLD))
    ).code == ("InvalidIdentityToken")
    changes = [
        json.loads(line)
        for line in broker.command(
            "audit", "--json", "--action", "broker:RefreshSAMLMetadata"
        ).splitlines()
    ]
    assert len(changes) == 2
    assert all(change["resources"] == [SAML_PROVIDER] for change in changes)
