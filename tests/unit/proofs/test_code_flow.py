"""The way out of an OpenID Connect provider."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec import Struct

from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.proofs import code_flow
from broker.proofs.addresses import AddressRules, parse_internal_issuers
from broker.proofs.code_flow import CodeFlow, CodeFlowFailedError
from broker.proofs.outbound import OutboundClient
from broker.proofs.provider_options import ProviderOptions
from tests.support.oidc_issuer import IssuerServer, send, send_json, serving

BACK = "https://broker.example/signin/signed-out"


class NoSecrets:
    def open_sealed(self, *_: str | bytes, **__: str | bytes) -> bytes:
        raise AssertionError("no secret is needed")


class Scene(Struct):
    server: IssuerServer
    flow: CodeFlow
    provider: OidcProvider

    def publish(self, endpoint: str) -> None:
        """As the provider's page to sign out at."""
        document = self.server.issuer.discovery() | {"end_session_endpoint": endpoint}
        self.server.answers[self.server.discovery_path] = lambda handler: send_json(
            handler, document
        )

    async def end(self) -> tuple[str, dict[str, str]]:
        return await self.flow.end(
            self.provider, client_id="broker", token="the.id.token", back=BACK
        )


@pytest.fixture
def scene(clock: Any) -> Iterator[Scene]:
    with serving() as server:
        rules = AddressRules(parse_internal_issuers(server.host_and_path))
        provider = OidcProvider(
            account=AccountId("111122223333"),
            unique_id="OIDCPAAAA",
            url=server.issuer.url,
            client_ids=("broker",),
            thumbprints=(),
            created_at=datetime.now(UTC),
        )
        yield Scene(
            server, CodeFlow(OutboundClient(rules), NoSecrets(), clock), provider
        )


async def test_the_way_out_carries_the_token_and_the_way_back(scene: Scene) -> None:
    scene.publish(f"{scene.server.issuer.url}/end?realm=a")
    assert await scene.flow.can_end(scene.provider)
    url, fields = await scene.end()
    assert url == f"{scene.server.issuer.url}/end?realm=a"
    assert fields == {
        "id_token_hint": "the.id.token",
        "client_id": "broker",
        "post_logout_redirect_uri": BACK,
    }


@pytest.mark.parametrize(
    "endpoint", ["", "javascript:alert(1)", "http://idp.example/end"]
)
async def test_no_browser_is_sent_where_the_rules_forbid(
    scene: Scene, endpoint: str
) -> None:
    scene.publish(endpoint)
    assert not await scene.flow.can_end(scene.provider)
    with pytest.raises(CodeFlowFailedError, match="end_session_endpoint"):
        await scene.end()


async def test_a_provider_that_does_not_answer_has_no_way_out(scene: Scene) -> None:
    scene.server.down = True
    assert not await scene.flow.can_end(scene.provider)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"id_token": "a.b.c", "expires_in": [1]}',
        b'{"id_token": "a.b.c", "expires_in": 1e400}',
        b'{"id_token": "a.b.c", "expires_in": "soon"}',
        b'{"id_token": "a.b.c", "expires_at": {"at": 1}}',
        b'{"id_token": ["a.b.c"]}',
        b'["id_token"]',
        b"[" * 500_000,
        b"",
    ],
    ids=lambda answer: answer[:40].decode(),
)
async def test_an_answer_without_a_token_is_none_however_it_is_bent(
    scene: Scene, answer: bytes
) -> None:
    endpoint = f"{scene.server.issuer.url}/token"
    scene.server.answers[urlsplit(endpoint).path] = lambda handler: send(
        handler, 200, answer
    )
    with pytest.raises(CodeFlowFailedError, match="token endpoint"):
        await scene.flow.finish(
            scene.provider,
            ProviderOptions(client_id="broker"),
            code="code",
            verifier="v" * 43,
            redirect_uri=BACK,
        )


async def begin(scene: Scene, provider: OidcProvider, **options: Any) -> dict[str, str]:
    """The query of the address where a sign-in begins."""
    url = await scene.flow.begin(
        provider,
        ProviderOptions(client_id="broker", **options),
        state="s",
        nonce="n",
        verifier="v" * 43,
        redirect_uri=BACK,
    )
    return dict(parse_qsl(urlsplit(url).query))


async def test_a_refresh_token_is_asked_for_where_people_are_watched(
    scene: Scene,
) -> None:
    asked = await begin(scene, scene.provider, watch="RefreshToken")
    assert asked["scope"] == "openid offline_access"
    assert "prompt" not in asked
    assert (await begin(scene, scene.provider))["scope"] == "openid"


async def test_google_is_asked_for_it_in_its_own_words(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses the scope, and gives a token only after a consent."""
    monkeypatch.setattr(code_flow, "GOOGLE", scene.provider.url)
    asked = await begin(scene, scene.provider, watch="RefreshToken")
    assert asked["scope"] == "openid"
    assert (asked["access_type"], asked["prompt"]) == ("offline", "consent")
