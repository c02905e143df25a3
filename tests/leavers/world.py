"""What the rows of the table share: brokers, a provider, an upstream, another account.

Each row has an account of its own, so that rows can run at the same time: what ends a
provider, a role or an account in one row is no other row's.
"""

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx2 as httpx
from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from tests.leavers import provider as oidc
from tests.leavers.directories import Directories
from tests.leavers.keycloak import Keycloak
from tests.support import saml_idp
from tests.support.broker import REGION, Key, RunningBroker, running_broker
from tests.support.scim import MODELS
from tests.support.servers import RedisServer, start_redis
from tests.support.signin import BROWSER
from tests.support.tables import own_database

MAIN, OTHER, UPSTREAM = "123456789012", "210987654321", "999988887777"
ORDERS = "orders.example.com"
ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
FEDERATED = (
    "sts:AssumeRoleWithSAML",
    "sts:AssumeRoleWithWebIdentity",
    "sts:AssumeRoleWithLDAPIdentity",
)
DIRECTORIES = {"LDAP": "corp", "AD": "ad"}
"""By origin, the directory's name in the operator's file."""

_TAGGED = ["sts:TagSession", "sts:SetSourceIdentity"]
_SETTLED_SECONDS = 1.5
"""Within one, every worker knows of a change."""

_OF_TOKENS = {"token": {"ScimSubject": "userName"}}
"""A provider that is there for its directory's token."""

_NO_RETRIES = Config(retries={"total_max_attempts": 1})


def number_of(row: int) -> str:
    """The account of a row."""
    return f"1{row:011d}"


def ldap_provider(number: str) -> str:
    return f"arn:aws:iam::{number}:ldap-provider/corp"


def trust(principal: object, *actions: str) -> dict[str, Any]:
    statement = {
        "Effect": "Allow",
        "Principal": principal,
        "Action": [*(actions or ("sts:AssumeRole",)), *_TAGGED],
    }
    return {"Version": "2012-10-17", "Statement": statement}


def role(name: str, *trusted: dict[str, Any]) -> dict[str, Any]:
    """An administrator's role, which these trust policies' principals may assume."""
    statements = [policy["Statement"] for policy in trusted]
    return {
        "RoleName": name,
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": statements},
        "ManagedPolicyArns": [ADMINISTRATOR],
    }


@dataclass
class Account:
    """A row's account: what is in it, and a key of an administrator's."""

    number: str
    world: "World" = field(repr=False)
    origin: str
    key: Key = field(default_factory=lambda: Key("", ""))
    host: str = ""
    """Of the S3 gateway, where one runs."""

    services: list[dict[str, Any]] = field(default_factory=list)
    """More that are registered."""

    def arn(self, name: str) -> str:
        """Of something in IAM, such as ``role/Person``."""
        return f"arn:aws:iam::{self.number}:{name}"

    @property
    def entity_id(self) -> str:
        return f"https://idp.example.com/{self.number}"

    @property
    def issuer(self) -> str:
        """Whose tokens the person has."""
        if self.origin == "Keycloak":
            assert self.world.keycloak is not None
            return self.world.keycloak.realm
        return f"http://{self.world.provider.host}/{self.number}"

    @property
    def own_issuer(self) -> str:
        """Whose tokens the broker issues in this account."""
        return f"{self.world.url}/issuer/{self.number}"

    @property
    def provider(self) -> str:
        """The ARN of the one that vouches for the row's person; empty if none does."""
        if self.origin in {"OIDC", "Keycloak"}:
            return self.arn(f"oidc-provider/{self.issuer.removeprefix('http://')}")
        if self.origin in DIRECTORIES:
            return ldap_provider(self.number)
        return self.arn("saml-provider/Corp") if self.origin == "SAML" else ""

    def client(self, service: str, key: Key | None = None) -> Any:
        return self.world.client(service, key or self.key)

    def template(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """As `broker apply` takes it; ``options`` are the provider's."""
        groups = {"GroupRoles": {"staff": [self.arn("role/Person")]}, **options}
        trusted = [trust({"AWS": self.number})]
        sections: dict[str, Any] = {}
        own = self.own_issuer
        oidc_providers = [{"Url": own, "ClientIdList": ["here"]}]
        visited = self.arn(f"oidc-provider/{own.removeprefix('http://')}")
        if self.origin in {"SAML", "token"}:
            metadata = saml_idp.metadata_xml(entity_id=self.entity_id)
            sections["SAMLProviders"] = [
                {
                    "Name": "Corp",
                    "SamlMetadataDocument": metadata,
                    "Broker": {**groups, **_OF_TOKENS.get(self.origin, {})},
                }
            ]
        elif self.origin in {"OIDC", "Keycloak"}:
            named = {"ClientId": self.client_id, "NameClaims": ["preferred_username"]}
            oidc_providers.append(
                {
                    "Url": self.issuer,
                    "ClientIdList": [self.client_id],
                    "Broker": {**named, **groups},
                }
            )
        elif self.origin in DIRECTORIES:
            sections["LDAPProviders"] = [
                {
                    "Name": "corp",
                    "Directory": DIRECTORIES[self.origin],
                    "Broker": {"SignIn": True, **groups},
                }
            ]
        elif self.origin == "certificate":
            trusted.append(trust({"Service": "rolesanywhere.amazonaws.com"}))
        if self.provider:
            trusted.append(trust({"Federated": self.provider}, *FEDERATED))
        there = {
            "Endpoint": self.world.upstream.url,
            "Roles": {"Upstream": f"arn:aws:iam::{UPSTREAM}:role/At-{self.number}"},
            "Revocation": {
                "Role": f"arn:aws:iam::{UPSTREAM}:role/End-{self.number}",
                "Endpoint": self.world.upstream.url,
            },
        }
        return {
            **sections,
            "OIDCProviders": oidc_providers,
            "Roles": [
                role("Admin", trust({"AWS": MAIN})),
                role("Person", *trusted),
                role("First", trust({"AWS": self.number})),
                role("Third", trust({"AWS": OTHER})),
                role("Upstream", trust({"AWS": self.number})),
                role("Machine", trust({"Service": "ec2.amazonaws.com"})),
                role("Visitor", trust({"Federated": visited}, *FEDERATED)),
            ],
            "InstanceProfiles": [
                {"InstanceProfileName": "Machine", "Roles": ["Machine"]}
            ],
            "Services": [
                {"ServiceName": "orders", "Definition": {"Hosts": [ORDERS]}},
                *self.services,
            ],
            "Upstreams": [{"UpstreamName": "there", "Definition": there}],
            "Broker": {"OutboundWebIdentityFederation": True},
        }

    @property
    def client_id(self) -> str:
        """At the OpenID Connect provider."""
        return f"row-{self.number}" if self.origin == "Keycloak" else oidc.CLIENT


class World:
    """Everything that runs."""

    each_question_connects = httpx.Limits(max_keepalive_connections=0)
    """So each may meet another worker."""

    def __init__(
        self,
        nodes: Sequence[RunningBroker],
        upstream: RunningBroker,
        provider: oidc.Provider,
    ) -> None:
        self.nodes = nodes
        self.upstream = upstream
        self.provider = provider
        self.redis: RedisServer | None = None
        self.has_lost_cache = False
        self.keycloak: Keycloak | None = None
        self.directories: Directories | None = None
        self.helper: Path | None = None
        """AWS's signing helper, if machines get their sessions by it."""

        self.homes: Path | None = None
        """Where people have home folders, if they use the AWS CLI."""

        self.beside: Callable[[Account], AbstractContextManager[object]] = (
            lambda _account: nullcontext()
        )
        """What runs for a row's account while the row is filled."""

        self.accounts: dict[str, Account] = {}
        self.closing = ExitStack()
        self._clients = threading.Lock()
        self._session = boto3.Session()
        loader = self._session._session.get_component("data_loader")
        loader.search_paths.append(MODELS)
        self._http = [
            httpx.Client(
                trust_env=False,
                timeout=60,
                headers=BROWSER,
                limits=self.each_question_connects,
            )
            for _ in nodes
        ]

    @property
    def broker(self) -> RunningBroker:
        return self.nodes[0]

    @property
    def url(self) -> str:
        """The public one, whichever node is asked."""
        return self.broker.url

    def client(self, service: str, key: Key, url: str = "") -> Any:
        """A boto3 client that never tries twice."""
        with self._clients:
            client = self._session.client(
                service,
                endpoint_url=url or self.url,
                region_name=REGION,
                aws_access_key_id=key.access_key_id,
                aws_secret_access_key=key.secret_access_key,
                aws_session_token=key.session_token,
                config=_NO_RETRIES,
            )
            self.closing.callback(client.close)
            return client

    def ask(
        self, method: str, path: str, node: int = 0, **request: Any
    ) -> httpx.Response:
        """One request to a node, under the public name.

        While the cache is lost, an answer may be that it is unavailable.
        """
        asked = {
            name.lower(): value for name, value in request.pop("headers", {}).items()
        }
        headers = {**asked, "host": self.url.removeprefix("http://")}
        url = f"{self.nodes[node].url}{path}"
        answer = self._http[node].request(method, url, headers=headers, **request)
        assert answer.status_code < 500 or self.has_lost_cache, answer.text
        return answer

    def query(
        self, key: Key | None, action: str, node: int = 0, **params: str
    ) -> httpx.Response:
        """A call of STS, or of the broker's own, which botocore signs if there is a key."""
        params = {"Action": action, "Version": "2011-06-15", **params}
        body = str(httpx.QueryParams(params))
        headers = {"content-type": "application/x-www-form-urlencoded"}
        if key is not None:
            sent = body.encode()
            headers = signed("POST", f"{self.url}/", key, "sts", headers, body=sent)
        return self.ask("POST", "/", node, headers=headers, content=body)

    def settle(self) -> None:
        """Every worker knows by then what changed before."""
        time.sleep(_SETTLED_SECONDS)

    def restart(self) -> None:
        for node in self.nodes:
            node.stop()
            node.start()

    def empty_cache(self) -> None:
        assert self.redis is not None
        self.redis.command("FLUSHALL")

    @contextmanager
    def lost_cache(self) -> Iterator[None]:
        """While the block runs, Redis does not; nor has it what it had, afterwards."""
        assert self.redis is not None
        self.redis.stop()
        self.has_lost_cache = True
        try:
            yield
        finally:
            self.redis.start()
            self.has_lost_cache = False

    def lay_out(
        self,
        rows: Mapping[str, tuple[str, Mapping[str, Any]]],
        prepare: Callable[[Mapping[str, Account]], object] = lambda _accounts: None,
    ) -> None:
        """Make an account for each row, of an origin and with its provider's options.

        ``prepare`` sees the accounts before they are made.
        """
        for count, (name, (origin, _)) in enumerate(rows.items()):
            self.accounts[name] = Account(number_of(count), self, origin)
        prepare(self.accounts)
        apply(
            self.broker,
            {
                MAIN: {
                    "Users": [
                        {"UserName": "operator", "ManagedPolicyArns": [ADMINISTRATOR]}
                    ]
                },
                OTHER: {
                    "Roles": [
                        role(
                            "Second",
                            trust(
                                {
                                    "AWS": [
                                        made.arn("root")
                                        for made in self.accounts.values()
                                    ]
                                }
                            ),
                        )
                    ]
                },
                **{
                    made.number: made.template(rows[name][1])
                    for name, made in self.accounts.items()
                },
            },
        )
        apply(self.upstream, {UPSTREAM: self._upstream_template()})
        root = self.broker.command("account", "root-key", MAIN, "--new")
        self.settle()
        iam = self.client("iam", Key.of(json.loads(root)))
        operator = iam.create_access_key(UserName="operator")["AccessKey"]
        sts = self.client("sts", Key.of(operator))
        for made in self.accounts.values():
            answer = sts.assume_role(
                RoleArn=made.arn("role/Admin"), RoleSessionName="operator"
            )
            made.key = Key.of(answer["Credentials"])

    def _upstream_template(self) -> dict[str, Any]:
        providers, roles = [], []
        for made in self.accounts.values():
            issuer = made.own_issuer
            name = issuer.removeprefix("http://")
            providers.append({"Url": issuer, "ClientIdList": ["sts.amazonaws.com"]})
            trusted = trust(
                {"Federated": f"arn:aws:iam::{UPSTREAM}:oidc-provider/{name}"},
                "sts:AssumeRoleWithWebIdentity",
            )
            roles += [role(f"{kind}-{made.number}", trusted) for kind in ("At", "End")]
        return {
            "OIDCProviders": providers,
            "Roles": roles,
            "Broker": {"Quotas": {"OpenIdConnectProvidersPerAccount": 200}},
        }


def apply(broker: RunningBroker, accounts: Mapping[str, Any]) -> None:
    broker.command("apply", "-", stdin=json.dumps({"Accounts": accounts}))


def signed(
    method: str,
    url: str,
    key: Key,
    service: str,
    headers: Mapping[str, str] | None = None,
    *,
    body: bytes = b"",
    region: str = REGION,
) -> dict[str, str]:
    """The headers of a request that botocore signed."""
    request = AWSRequest(method, url, data=body, headers=dict(headers or {}))
    auth = S3SigV4Auth if service == "s3" else SigV4Auth
    auth(_credentials(key), service, region).add_auth(request)
    return dict(request.headers.items())


def presigned(url: str, key: Key, service: str, seconds: int = 900) -> str:
    """An address that works by itself."""
    request = AWSRequest("GET", url)
    SigV4QueryAuth(_credentials(key), service, REGION, seconds).add_auth(request)
    made: str = request.url
    return made


def _credentials(key: Key) -> Credentials:
    return Credentials(key.access_key_id, key.secret_access_key, key.session_token)


@contextmanager
def running(
    folder: Path,
    *,
    nodes: int = 1,
    options: tuple[str, ...] = (),
    reached: Sequence[str] = (),
    **settings: str,
) -> Iterator[World]:
    """A broker of two workers on its own file, or several nodes on servers.

    ``options`` are those of `broker serve`; what is ``reached`` may be private.
    """
    with ExitStack() as stack:
        for name in ("one", "other", "there"):
            (folder / name).mkdir()
        provider = stack.enter_context(oidc.serving())
        redis = None
        if nodes > 1:
            redis = stack.enter_context(start_redis())
            settings["redis_url"] = redis.url
            settings["database_url"] = stack.enter_context(own_database())
        first = stack.enter_context(
            running_broker(
                folder / "one", workers=2, start=False, options=options, **settings
            )
        )
        upstream = stack.enter_context(
            running_broker(
                folder / "there",
                start=False,
                internal_issuers=f"127.0.0.1:{first.port}",
            )
        )
        own = [f"127.0.0.1:{each.port}" for each in (first, upstream)]
        internal = ",".join([provider.host, *own, *reached])
        first.environment["BROKER_INTERNAL_ISSUERS"] = internal
        brokers = [first]
        first.start()
        upstream.start()
        if nodes > 1:
            brokers.append(stack.enter_context(_second_node(first, folder / "other")))
        world = World(brokers, upstream, provider)
        world.redis = redis
        stack.push(world.closing)
        yield world


@contextmanager
def _second_node(first: RunningBroker, folder: Path) -> Iterator[RunningBroker]:
    """Another node with the same stores, master key and public address."""
    first.command("account", "list")
    with running_broker(folder, workers=1, start=False, database_url="later") as node:
        own = node.environment["BROKER_DATA_DIR"]
        node.environment = {**first.environment, "BROKER_DATA_DIR": own}
        Path(own).mkdir(mode=0o700, exist_ok=True)
        keyring = Path(first.environment["BROKER_DATA_DIR"]) / "keyring.json"
        shutil.copy2(keyring, Path(own) / "keyring.json")
        node.start()
        yield node
