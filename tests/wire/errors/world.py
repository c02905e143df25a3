"""What the rows of `rows.json` are provoked in: accounts, callers and proofs."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx2 as httpx
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from msgspec.structs import replace

from broker.kinds.accounts import ROOT_MANAGED_BY
from broker.model.account import AccountId
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from tests.support import saml_idp
from tests.support.broker import ACCOUNT, REGION, Key
from tests.support.in_process import FORM, ORIGIN, InProcess, Reply
from tests.support.oidc_issuer import IssuerServer
from tests.support.saml_idp import aws_attributes

BASE = f"arn:aws:iam::{ACCOUNT}"
WORKER = f"{BASE}:role/Worker"
READER = f"{BASE}:role/Reader"
SAML = f"{BASE}:saml-provider/Corp"
MEMBER = "222222222222"
TASKS = "arn:aws:iam::aws:policy/root-task"
ALLOW_ALL = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    }
)


def trust(principal: Any, *actions: str) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": list(actions)}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@dataclass
class World:
    """A broker with one caller of each kind."""

    broker: InProcess
    issuer: IssuerServer
    keys: dict[str, Key | None] = field(default_factory=lambda: {"nobody": None})
    texts: dict[str, str] = field(default_factory=dict)

    async def set_up(self) -> None:
        root = self.keys["root"] = await self.broker.create_account(ACCOUNT)
        self.keys["member"] = await self.broker.create_account(MEMBER)
        oidc = await self.iam(
            "CreateOpenIDConnectProvider",
            Url=self.issuer.issuer.url,
            ClientIDList=["client-1"],
        )
        await self.iam(
            "CreateSAMLProvider",
            Name="Corp",
            SAMLMetadataDocument=saml_idp.metadata_xml(),
        )
        providers = [SAML, oidc["OpenIDConnectProviderArn"]]
        federated = ("sts:AssumeRoleWithSAML", "sts:AssumeRoleWithWebIdentity")
        named = ("sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity")
        for name, document in {
            "Worker": trust({"AWS": ACCOUNT}, *named),
            "Strict": trust({"AWS": ACCOUNT}, "sts:AssumeRole"),
            "Reader": trust({"Federated": providers}, *federated, "sts:TagSession"),
            "Nobodys": trust({"Service": "ec2.amazonaws.com"}, "sts:AssumeRole"),
        }.items():
            await self.iam(
                "CreateRole",
                RoleName=name,
                AssumeRolePolicyDocument=document,
                MaxSessionDuration=7200,
            )
        await self.iam(
            "PutRolePolicy",
            RoleName="Worker",
            PolicyName="All",
            PolicyDocument=ALLOW_ALL,
        )
        for name, document in {"user": ALLOW_ALL, "powerless": None}.items():
            self.keys[name] = await self.make_user(name, document)
        self.keys["role"] = await self.mint("AssumeRole", "user", **_ASSUME)
        self.keys["session"] = await self.mint("GetSessionToken", "user")
        self.keys["guest"] = await self.mint("GetFederationToken", "user", Name="guest")
        self.texts |= {
            "url": self.issuer.issuer.url,
            "oidc": oidc["OpenIDConnectProviderArn"],
            "root_key": root.access_key_id,
        }

    async def make_user(self, name: str, document: str | None) -> Key:
        await self.iam("CreateUser", UserName=name)
        if document is not None:
            await self.iam(
                "PutUserPolicy",
                UserName=name,
                PolicyName="Own",
                PolicyDocument=document,
            )
        made = await self.iam("CreateAccessKey", UserName=name)
        return Key.of(made["AccessKey"])

    async def iam(self, operation: str, **params: Any) -> dict[str, Any]:
        """Root does something in IAM."""
        return await self.broker.ask("iam", operation, self.keys["root"], **params)

    async def mint(self, operation: str, caller: str, **params: Any) -> Key:
        answer = await self.broker.ask("sts", operation, self.keys[caller], **params)
        return Key.of(answer["Credentials"])

    async def call(
        self, operation: str, caller: str = "user", /, **params: Any
    ) -> Reply:
        """``service:Operation`` with the usual input of `USUAL`, and more."""
        service, _, name = operation.partition(":")
        merged = {**USUAL.get(operation, {}), **params}
        kept = {key: value for key, value in merged.items() if value is not None}
        return await self.broker.call(service, name, self.keys[caller], **kept)

    async def web(self, claims: Mapping[str, Any] = {}, **params: Any) -> Reply:
        """Exchange a token; a claim of None is left out."""
        dropped = tuple(name for name, value in claims.items() if value is None)
        now = int(self.broker.clock.now().timestamp())
        view = {
            name: now + value
            if name in {"exp", "iat", "nbf"} and _whole(value)
            else value
            for name, value in claims.items()
        }
        token = self.issuer.issuer.token(drop=dropped, claims=view)
        return await self.call(
            "sts:AssumeRoleWithWebIdentity",
            "nobody",
            **{"WebIdentityToken": token, **params},
        )

    async def saml(self, **knobs: Any) -> Reply:
        """Exchange an assertion; see `assertion`."""
        params = knobs.pop("given", {})
        response = self.assertion(**knobs)
        return await self.call(
            "sts:AssumeRoleWithSAML", "nobody", **{"SAMLAssertion": response, **params}
        )

    def assertion(self, *, attributes: Any = None, **knobs: Any) -> str:
        """A response; ``attributes`` are those of `aws_attributes`."""
        acs = f"{ORIGIN}/saml"
        usual: dict[str, Any] = {
            "now": self.broker.clock.now(),
            "assertion_id": f"_{uuid.uuid4().hex}",
            "recipient": acs,
            "response": {"destination": acs},
            "attributes": aws_attributes(
                **{"role": f"{READER},{SAML}", **(attributes or {})}
            ),
        }
        return saml_idp.build_response(**{**usual, **knobs})

    async def let_manage_root(self, account: str) -> None:
        """`ACCOUNT` may do root tasks in an account."""
        directory = self.broker.services.stores.directory
        async with directory.change(AccountId(account)) as change:
            stored_account = await change.find(kinds.ACCOUNT, AccountId(account))
            assert stored_account is not None
            options = {**stored_account.options, ROOT_MANAGED_BY: ACCOUNT}
            await update_account(change, replace(stored_account, options=options))

    async def form(self, text: str, caller: str = "user", **more: Any) -> Reply:
        return await self.broker.post("sts", text, self.keys[caller], **more)

    async def sign(self, edit: Any = None, *, service: str = "sts") -> Reply:
        """A signed call whose headers are changed after signing."""
        key = self.keys["user"]
        assert key is not None
        body = urlencode({"Action": "GetCallerIdentity", "Version": "2011-06-15"})
        request = AWSRequest("POST", f"{ORIGIN}/", data=body, headers=dict(FORM))
        credentials = Credentials(key.access_key_id, key.secret_access_key)
        SigV4Auth(credentials, service, REGION).add_auth(request)
        headers = dict(request.headers.items())
        if edit:
            edit(headers)
        answer = await self.broker.http.post("/", content=body, headers=headers)
        return _reply(answer)

    async def get(self, query: str) -> Reply:
        return _reply(await self.broker.http.get(f"/?{query}"))

    async def presigned(self, edit: Any) -> Reply:
        key = self.keys["user"]
        assert key is not None
        request = AWSRequest(
            "GET", f"{ORIGIN}/?Action=GetCallerIdentity&Version=2011-06-15"
        )
        credentials = Credentials(key.access_key_id, key.secret_access_key)
        SigV4QueryAuth(credentials, "sts", REGION).add_auth(request)
        return _reply(await self.broker.http.get(edit(request.url)))


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _reply(answer: httpx.Response) -> Reply:
    return Reply(answer.status_code, answer.headers, answer.content)


_ASSUME = {"RoleArn": WORKER, "RoleSessionName": "work"}
USUAL: Mapping[str, Mapping[str, Any]] = {
    "sts:AssumeRole": _ASSUME,
    "sts:AssumeRoleWithWebIdentity": {"RoleArn": READER, "RoleSessionName": "web"},
    "sts:AssumeRoleWithSAML": {"RoleArn": READER, "PrincipalArn": SAML},
    "sts:AssumeRoot": {
        "TargetPrincipal": MEMBER,
        "TaskPolicyArn": {"arn": f"{TASKS}/IAMAuditRootUserCredentials"},
    },
    "sts:GetFederationToken": {"Name": "guest"},
    "sts:GetWebIdentityToken": {"Audience": ["a"], "SigningAlgorithm": "RS256"},
}
