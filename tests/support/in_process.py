"""A whole broker in this process, spoken to over HTTP as its clients do.

Nothing listens: requests go through the ASGI interface, signed by botocore. Many of
them cost little, so rules with hundreds of cases are tested here.
"""

import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import botocore.session
import httpx2 as httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.parsers import create_parser
from botocore.serialize import QuerySerializer

from broker import actions
from broker.compose import app as composition
from broker.compose.services import Services
from broker.kinds.accounts import create_account, create_root_key
from broker.model.account import AccountId
from broker.settings import Settings
from tests.support.broker import REGION, Key
from tests.support.clocks import MovableClock
from tests.support.tables import lay_tables

ORIGIN = "http://127.0.0.1:8080"
FORM = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
_SESSION = botocore.session.get_session()
_SESSION.get_component("data_loader").search_paths.append(
    str(Path(actions.__file__).parent / "own_models")
)
_PARSER = create_parser("query")


class _Careless(QuerySerializer):  # type: ignore[misc]  # botocore has no types
    """Sends texts as they are where a boolean or a time should stand."""

    def _serialize_type_boolean(
        self, serialized: Any, value: Any, shape: Any, prefix: str = ""
    ) -> None:
        if isinstance(value, str):
            serialized[prefix] = value
        else:
            super()._serialize_type_boolean(serialized, value, shape, prefix)

    def _serialize_type_timestamp(
        self, serialized: Any, value: Any, shape: Any, prefix: str = ""
    ) -> None:
        if isinstance(value, str):
            serialized[prefix] = value
        else:
            super()._serialize_type_timestamp(serialized, value, shape, prefix)


_SERIALIZER = _Careless()


def service_model(service: str) -> Any:
    """botocore's own reading of a service's model."""
    return _SESSION.get_service_model(service)


@dataclass(frozen=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The wire code of an error; empty when the call succeeded."""
        return self.text_of("Code")

    @property
    def message(self) -> str:
        return self.text_of("Message")

    def parsed(self, service: str, operation: str) -> dict[str, Any]:
        """The result as boto3 hands it over; the call must have succeeded."""
        assert self.status == 200, self.body
        response = {"status_code": 200, "headers": self.headers, "body": self.body}
        shape = service_model(service).operation_model(operation).output_shape
        return cast("dict[str, Any]", _PARSER.parse(response, shape))

    def text_of(self, name: str) -> str:
        """The text of an element of an error; empty when there is none."""
        if self.status == 200 or not self.body.startswith(b"<"):
            return ""
        stored_element = next(
            (
                element
                for element in ET.fromstring(self.body).iter()
                if element.tag.rpartition("}")[2] == name
            ),
            None,
        )
        return "" if stored_element is None else stored_element.text or ""


@dataclass
class InProcess:
    """The broker and a client without cookies."""

    services: Services
    clock: MovableClock
    http: httpx.AsyncClient

    async def create_account(self, account: str) -> Key:
        """An account and its root key."""
        name, now = AccountId(account), self.clock.now()
        async with self.services.stores.directory.change(name) as change:
            await create_account(change, name, alias=None, now=now)
            key, secret = await create_root_key(
                change, name, sealer=self.services.vault, now=now
            )
        return Key(key.access_key_id, secret.reveal())

    async def call(
        self, service: str, operation: str, key: Key | None, **params: Any
    ) -> Reply:
        """Send an operation as botocore does; what is wrong with it stays wrong."""
        model = service_model(service).operation_model(operation)
        body = _SERIALIZER.serialize_to_request(params, model)["body"]
        return await self.post(service, urlencode(body), key)

    async def ask(
        self, service: str, operation: str, key: Key | None, **params: Any
    ) -> dict[str, Any]:
        """The parsed answer of a call that succeeds."""
        reply = await self.call(service, operation, key, **params)
        return reply.parsed(service, operation)

    async def post(
        self,
        service: str,
        body: str | bytes,
        key: Key | None,
        *,
        region: str = REGION,
        url: str = f"{ORIGIN}/",
    ) -> Reply:
        """Send a form, signed if there is a key."""
        headers = dict(FORM)
        if key is not None:
            request = AWSRequest("POST", url, data=body, headers=headers)
            credentials = Credentials(
                key.access_key_id, key.secret_access_key, key.session_token
            )
            SigV4Auth(credentials, service, region).add_auth(request)
            headers = dict(request.headers.items())
        answer = await self.http.post(url, content=body, headers=headers)
        return Reply(answer.status_code, answer.headers, answer.content)


@asynccontextmanager
async def in_process(folder: Path, **settings: Any) -> AsyncIterator[InProcess]:
    """A broker with these settings, without accounts and without rate limit."""
    clock = MovableClock()
    values = {"public_url": ORIGIN, "rate_limit": 0, **settings}
    items = Settings(data_dir=folder / "data", **values)
    lay_tables(items)
    async with (
        composition.open_services(items, clock) as services,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app=composition.compose(services, ())),
            base_url=ORIGIN,
        ) as http,
    ):
        yield InProcess(services, clock, http)
