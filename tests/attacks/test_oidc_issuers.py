"""Rows OIDC-15 and 18 of the threat checklist: hostile issuers, flooding.

The transport's side (slow, dripping, endless, compressed, redirecting servers) is in
``tests/unit/proofs/test_outbound.py``.
"""

import json
from datetime import UTC, datetime, timedelta

import pytest

from broker.errors import BrokerError, IdpCommunicationError, InvalidIdentityToken
from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.proofs.addresses import AddressRules, parse_internal_issuers
from broker.proofs.issuer_keys import IssuerKeys
from broker.proofs.outbound import OutboundClient
from broker.proofs.web_identity import WebIdentityProver
from broker.protocols.oidc.jwks import parse_jwks
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.runtime.clock import SystemClock
from broker.stores.directory.stored import Kind
from tests.support.effort import cpu_at_most
from tests.support.oidc_issuer import (
    IssuerServer,
    OidcIssuer,
    jwk_of,
    make_key,
    send,
    serving,
)
from tests.support.provisioned import NO_DIRECTORY

ACCOUNT = AccountId("111111111111")


class OneProvider:
    def __init__(self, issuer: OidcIssuer) -> None:
        self.provider = OidcProvider(
            account=ACCOUNT,
            unique_id="OIDCP0000000000000001",
            url=issuer.url,
            client_ids=("client-1",),
            thumbprints=(),
            created_at=datetime.now(UTC),
        )

    async def named(
        self, _: Kind[OidcProvider], account: AccountId, host_and_path: str
    ) -> OidcProvider | None:
        known = (self.provider.account, self.provider.host_and_path)
        return self.provider if (account, host_and_path) == known else None


async def outcome(server: IssuerServer, *tokens: str) -> list[BrokerError | None]:
    """What a fresh broker answers to each token in turn; None is acceptance."""
    rules = AddressRules(parse_internal_issuers(f"127.0.0.1:{server.port}"))
    keys = IssuerKeys(OutboundClient(rules, deadline_seconds=20), SystemClock())
    prover = WebIdentityProver(
        OneProvider(server.issuer), keys, NO_DIRECTORY, skew=timedelta(seconds=60)
    )
    errors: list[BrokerError | None] = []
    for token in tokens:
        try:
            await prover.prove(token, account=ACCOUNT, now=datetime.now(UTC))
        except BrokerError as error:
            errors.append(error)
        else:
            errors.append(None)
    await keys.close()
    return errors


DISCOVERY = {
    "another issuer": {"issuer": "https://elsewhere.example"},
    "a slash more": {"issuer": "{issuer}/"},
    "no issuer": {"issuer": None},
    "no jwks_uri": {"jwks_uri": None},
    "a jwks_uri that is a list": {"jwks_uri": ["{issuer}/jwks"]},
}


@pytest.mark.parametrize("changes", DISCOVERY.values(), ids=DISCOVERY)
async def test_oidc_15_a_discovery_document_that_does_not_fit(
    changes: dict[str, object],
) -> None:
    with serving() as server:
        document = json.dumps({**server.issuer.discovery(), **changes})
        body = document.replace("{issuer}", server.issuer.url).encode()
        server.answers[server.discovery_path] = lambda handler: send(handler, body)
        [error] = await outcome(server, server.issuer.token())
        assert isinstance(error, InvalidIdentityToken)
        assert "verification key" in str(error.message)
        assert not server.hits[server.jwks_path]


@pytest.mark.parametrize("status", [301, 302, 307, 404, 500])
async def test_oidc_15_an_issuer_that_fails_or_redirects(status: int) -> None:
    with serving() as server, serving() as elsewhere:
        headers = {"location": f"{elsewhere.issuer.url}/jwks"}
        server.answers[server.jwks_path] = lambda handler: send(
            handler, b"", status, headers
        )
        [error] = await outcome(server, server.issuer.token())
        assert isinstance(error, IdpCommunicationError)
        assert not elsewhere.hits


WEAK = {
    "1024 bits": jwk_of(make_key("RS256", 0, 1024), "weak"),
    "symmetric": {"kty": "oct", "kid": "weak", "k": "AAAA"},
    "off the curve": {**jwk_of(make_key("ES256"), "weak"), "x": "A" * 43},
    "nonsense": {"kty": "RSA", "kid": "weak", "n": "!", "e": {}},
}


@pytest.mark.parametrize("weak", WEAK.values(), ids=WEAK)
async def test_oidc_15_a_bad_key_does_not_spoil_the_good_one(
    weak: dict[str, object],
) -> None:
    with serving() as server:
        body = json.dumps({"keys": [weak, *server.issuer.jwks()["keys"]]}).encode()
        server.answers[server.jwks_path] = lambda handler: send(handler, body)
        bad = server.issuer.token(header={"kid": "weak"})
        first, second = await outcome(server, bad, server.issuer.token())
        assert isinstance(first, InvalidIdentityToken)
        assert second is None


def test_oidc_15_tens_of_thousands_of_keys_end_soon() -> None:
    tiny = json.dumps({"keys": [{"kty": "RSA", "kid": "a"}] * 30_000}).encode()
    large = json.dumps({"keys": [jwk_of(make_key("RS256"), "a")] * 2500}).encode()
    for data in (tiny, large):
        with cpu_at_most(500):
            assert not parse_jwks(data).keys


def test_oidc_15_deep_nesting_ends_soon() -> None:
    for data in (b'{"keys":' + b"[" * 500_000, b'{"keys":[' + b'{"a":' * 200_000):
        with cpu_at_most(500), pytest.raises(OidcRejected) as caught:
            parse_jwks(data)
        assert caught.value.reason is OidcReason.BAD_KEY_SET


async def test_oidc_18_thousands_of_random_key_ids_cost_one_fetch() -> None:
    with serving() as server:
        good = server.issuer.token()
        flood = [server.issuer.token(header={"kid": f"k{n}"}) for n in range(200)]
        first, *rest, last = await outcome(server, good, *flood, good)
        assert first is last is None
        assert all(isinstance(error, InvalidIdentityToken) for error in rest)
        assert server.hits[server.jwks_path] == 1
