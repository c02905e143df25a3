"""A client of the broker's SCIM, as directories of identity providers are."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import httpx2 as httpx
from msgspec.structs import replace

import broker as package
from broker.kinds.bearer_tokens import SCIM_TOKENS, owning_provider
from broker.model.account import AccountId
from broker.stores.directory import kinds
from broker.stores.directory.kinds import SAML_PROVIDER
from tests.support.broker import ACCOUNT, REGION, Key, RunningBroker
from tests.support.signin import ACCOUNT as SIGN_IN_ACCOUNT
from tests.support.signin import SignInWorld

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MODELS = f"{package.__path__[0]}/actions/own_models"


def administration(broker: RunningBroker, key: Key) -> Any:
    """A boto3 client of the actions under the prefix ``broker``."""
    session = boto3.Session()
    session._session.get_component("data_loader").search_paths.append(MODELS)
    return session.client(
        "broker",
        endpoint_url=broker.url,
        region_name=REGION,
        aws_access_key_id=key.access_key_id,
        aws_secret_access_key=key.secret_access_key,
    )


class Directory:
    """A directory with its token."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.client.request(method, path.lstrip("/"), **more)

    def create_user(self, user_name: str, **more: Any) -> dict[str, Any]:
        body = {"schemas": [USER], "userName": user_name, "active": True, **more}
        answer = self.send("POST", "/Users", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def create_group(self, name: str, *members: str, **more: Any) -> dict[str, Any]:
        body = {
            "schemas": [GROUP],
            "displayName": name,
            "members": [{"value": member} for member in members],
            **more,
        }
        answer = self.send("POST", "/Groups", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def patch(self, path: str, *operations: dict[str, Any]) -> httpx.Response:
        body = {"schemas": [PATCH_OP], "Operations": list(operations)}
        return self.send("PATCH", path, json=body)

    def deactivate(self, user_id: str) -> httpx.Response:
        return self.patch(
            f"/Users/{user_id}", {"op": "replace", "path": "active", "value": False}
        )


@contextmanager
def directory(
    broker: RunningBroker, token: str, account: str = ACCOUNT
) -> Iterator[Directory]:
    """A directory that sends its token to one account's address."""
    with httpx.Client(
        base_url=f"{broker.url}/scim/v2/{account}/",
        headers={"authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=20,
    ) as client:
        yield Directory(client)


class InProcess:
    """The directory of a provider of a broker in this process."""

    def __init__(self, world: SignInWorld, account: str, token: str) -> None:
        self.http = world.browser({"authorization": f"Bearer {token}"})
        self.at = f"/scim/v2/{account}"
        self.token = token

    async def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.http.request(method, f"{self.at}{path}", **more)

    async def user(self, user_name: str, **more: Any) -> str:
        """The id of a new user."""
        body = {"schemas": [USER], "userName": user_name, "active": True, **more}
        answer = await self.send("POST", "/Users", json=body)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        return made

    async def group(self, name: str, *members: str, **more: Any) -> str:
        """The id of a new group."""
        body = {
            "schemas": [GROUP],
            "displayName": name,
            "members": [{"value": member} for member in members],
            **more,
        }
        answer = await self.send("POST", "/Groups", json=body)
        assert answer.status_code == 201, answer.text
        made: str = answer.json()["id"]
        return made

    async def patch(self, path: str, *operations: dict[str, Any]) -> httpx.Response:
        body = {"schemas": [PATCH_OP], "Operations": list(operations)}
        return await self.send("PATCH", path, json=body)

    async def deactivate(self, user_id: str) -> httpx.Response:
        return await self.patch(
            f"/Users/{user_id}", {"op": "replace", "path": "active", "value": False}
        )

    async def activate(self, user_id: str) -> httpx.Response:
        return await self.patch(
            f"/Users/{user_id}", {"op": "Replace", "path": "active", "value": "True"}
        )


async def set_options(
    world: SignInWorld, account: AccountId = SIGN_IN_ACCOUNT, **options: object
) -> None:
    """Set options of the SAML provider ``Corp``; None removes one."""
    async with world.services.stores.directory.change(account) as change:
        provider = await change.named(SAML_PROVIDER, account, "Corp")
        assert provider is not None
        merged = {**provider.options, **options}
        kept = {name: value for name, value in merged.items() if value is not None}
        await change.update(SAML_PROVIDER, replace(provider, options=kept))


async def open_directory(
    world: SignInWorld,
    account: AccountId = SIGN_IN_ACCOUNT,
    *,
    days: int = 1,
    addresses: tuple[str, ...] = (),
    **options: object,
) -> InProcess:
    """The directory of the SAML provider ``Corp``, with SCIM switched on."""
    await set_options(world, account, **{"ScimSubject": "userName", **options})
    async with world.services.stores.directory.change(account) as change:
        provider = await change.named(SAML_PROVIDER, account, "Corp")
        known = await change.find(kinds.ACCOUNT, account)
        assert provider is not None
        assert known is not None
        owner, now = owning_provider(provider), world.clock.now()
        _, secret = await SCIM_TOKENS.create(
            change, known, owner, lasts=days, addresses=addresses, now=now
        )
    return InProcess(world, account, secret.reveal())
