"""Clients without configuration: AWS's own names resolve to the broker, over TLS."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx2
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.rows import cases
from tests.support.servers import find_free_port
from tests.support.tls import leading_to, tls_before

NAMES = (
    "sts.amazonaws.com",
    "sts.eu-west-1.amazonaws.com",
    "sts-fips.us-east-1.amazonaws.com",
    "iam.amazonaws.com",
    "oidc.eu-west-1.amazonaws.com",
    "portal.sso.eu-west-1.amazonaws.com",
    "signin.eu-west-1.api.aws",
    "eu-west-1.oauth.signin.aws",
)
UNLISTED = (
    "sts.eu-west-2.amazonaws.com",
    "oidc.eu-west-2.amazonaws.com",
    "portal.sso.eu-west-2.amazonaws.com",
)
_START = f"https://{ACCOUNT}.awsapps.com/start"


@dataclass
class World:
    broker: RunningBroker
    root: Key
    proxy: str
    authority: Path

    def client(self, service: str, region: str, **config: Any) -> Any:
        """A client with no endpoint at all."""
        return boto3.client(
            service,
            region_name=region,
            aws_access_key_id=self.root.access_key_id,
            aws_secret_access_key=self.root.secret_access_key,
            verify=str(self.authority),
            config=Config(
                proxies={"https": self.proxy},
                retries={"total_max_attempts": 1},
                **config,
            ),
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("broker")
    listen = find_free_port()
    with (
        running_broker(folder, host_aliases=" ".join(NAMES)) as broker,
        tls_before(
            folder, listen, broker.port, names=("localhost", *NAMES, *UNLISTED)
        ) as authority,
        leading_to(listen) as proxy,
    ):
        yield World(broker, broker.create_account(), proxy, authority)


@cases("service, region, config, host")
def test_a_client_without_an_endpoint_is_served(
    world: World, service: str, region: str, config: dict[str, Any], host: str
) -> None:
    client = world.client(service, region, **config)
    assert client.meta.endpoint_url == f"https://{host}"
    if service == "sts":
        assert client.get_caller_identity()["Account"] == ACCOUNT
    else:
        assert client.list_users()["Users"] == []
    client.close()


def test_the_global_endpoint_serves_clients_that_still_use_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_STS_REGIONAL_ENDPOINTS", "legacy")
    client = world.client("sts", "eu-west-1")
    assert client.meta.endpoint_url == "https://sts.amazonaws.com"
    assert client.get_caller_identity()["Account"] == ACCOUNT
    client.close()


def test_the_portal_is_served_at_awss_names(world: World) -> None:
    tokens = world.client("sso-oidc", "eu-west-1")
    # As aws-vault asks, and Granted with its own scope.
    for more in ({}, {"scopes": ["sso-portal:*"]}):
        client = tokens.register_client(
            clientName="client", clientType="public", **more
        )
        known = {name: client[name] for name in ("clientId", "clientSecret")}
        begun = tokens.start_device_authorization(**known, startUrl=_START)
        assert begun["verificationUri"] == f"{world.broker.url}/portal/device"
        with pytest.raises(tokens.exceptions.AuthorizationPendingException):
            tokens.create_token(
                **known,
                grantType="urn:ietf:params:oauth:grant-type:device_code",
                deviceCode=begun["deviceCode"],
            )
    tokens.close()
    portal = world.client("sso", "eu-west-1")
    for call, params in (
        (portal.list_accounts, {}),
        (portal.list_account_roles, {"accountId": ACCOUNT}),
        (portal.get_role_credentials, {"accountId": ACCOUNT, "roleName": "Reader"}),
        (portal.logout, {}),
    ):
        with pytest.raises(portal.exceptions.UnauthorizedException):
            call(accessToken="none", **params)
    portal.close()


@cases("method, host")
def test_sign_in_operations_are_refused_by_name(
    world: World, method: str, host: str
) -> None:
    client = world.client("signin", "eu-west-1", parameter_validation=False)
    asked: list[str] = []
    client.meta.events.register(
        "before-send.signin", lambda request, **_: asked.append(request.url)
    )
    with pytest.raises(ClientError) as refused:
        getattr(client, method)()
    client.close()
    name = client.meta.method_to_api_mapping[method]
    answer = refused.value.response
    assert answer["Error"]["Code"] == "UnsupportedOperation"
    assert answer["Error"]["Message"] == f"The operation {name} is not supported."
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert urlsplit(asked[0]).hostname == host


def test_sessions_are_listed_at_awss_name(world: World) -> None:
    """Its clients send these to no other address, whatever they are configured with."""
    client = world.client("signin", "eu-west-1")
    asked: list[str] = []
    client.meta.events.register(
        "before-send.signin", lambda request, **_: asked.append(request.url)
    )
    token = world.client("sts", "eu-west-1").get_session_token()["Credentials"]
    (session,) = client.list_sessions(principalArn=f"arn:aws:iam::{ACCOUNT}:*")["items"]
    client.close()
    assert asked == ["https://signin.eu-west-1.api.aws/list-sessions"]
    assert session["principalArn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert session["expiresAt"] == int(token["Expiration"].timestamp())


def test_a_signed_sign_in_operation_tells_strangers_nothing(world: World) -> None:
    stranger = replace(world, root=Key(world.root.access_key_id, "wrong"))
    client = stranger.client("signin", "eu-west-1")
    with pytest.raises(ClientError) as refused:
        client.list_sessions()
    client.close()
    assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"
    for path, code in (
        (
            "/v1/token?x-amz-client-auth-method=iam",
            "MissingAuthenticationTokenException",
        ),
        ("/v1/token?x-amz-client-auth-method=none", "ValidationException"),
    ):
        answer = httpx2.post(f"{world.broker.url}{path}", json={})
        assert answer.headers["x-amzn-errortype"] == code, answer.text


_REFUSED: dict[str, Callable[[Any], object]] = {
    "sts": lambda client: client.get_caller_identity(),
    "sso-oidc": lambda client: client.register_client(
        clientName="client", clientType="public"
    ),
    "sso": lambda client: client.list_accounts(accessToken="none"),
}


@pytest.mark.parametrize("service", _REFUSED)
def test_a_name_that_is_not_listed_is_refused_in_words_that_say_so(
    world: World, service: str
) -> None:
    client = world.client(service, "eu-west-2")
    with pytest.raises(ClientError) as refused:
        _REFUSED[service](client)
    client.close()
    answer = refused.value.response
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 421
    assert answer["Error"]["Code"] == "MisdirectedRequest"
    assert "BROKER_HOST_ALIASES" in answer["Error"]["Message"]
