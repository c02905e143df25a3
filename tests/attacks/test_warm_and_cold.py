"""A broker that has answered others answers as a new one does, good and bad alike.

The requests are those of other tests, in an order drawn by chance: the proofs that
attacks hand to the verifiers, good ones beside them, and questions at every face.
"""

import asyncio
import inspect
import itertools
import json
import random
from collections import ChainMap, Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import pytest
from _pytest.mark import ParameterSet
from msgspec.structs import replace

from benchmarks import budget
from broker.model.account import AccountId
from broker.stores.directory.kinds import OIDC_PROVIDER
from tests.attacks import (
    test_oidc_claims,
    test_oidc_tokens,
    test_saml_aws_rules,
    test_saml_conditions,
    test_saml_parsing,
    test_saml_signature,
    test_saml_wrapping,
)
from tests.attacks.test_decision_faces import QUESTIONS, variants
from tests.scenarios.installation import policy, trust
from tests.scenarios.test_faces import DATA, furnish, make_user, put_policies
from tests.support import effort, oidc_verdict, saml_check, saml_idp, saml_proof
from tests.support.broker import ACCOUNT, Key
from tests.support.faces import ROUTES, Faces
from tests.support.in_process import ORIGIN, InProcess, in_process
from tests.support.oidc_issuer import serving
from tests.support.saml_idp import PROVIDER_ARN
from tests.support.versitygw import DEFINITION, Gateway
from tests.support.warm_and_cold import answered_twice

TOKENS = (test_oidc_claims, test_oidc_tokens)
RESPONSES = (
    test_saml_aws_rules,
    test_saml_conditions,
    test_saml_parsing,
    test_saml_signature,
    test_saml_wrapping,
)
VERIFIERS = (
    (oidc_verdict, "verify_token"),
    (saml_check, "verify_response"),
    (saml_proof, "prove_saml"),
)
CLAIMED, NAMED = test_oidc_claims.ISSUER, test_oidc_tokens.ISSUER
BASE = f"arn:aws:iam::{saml_idp.ACCOUNT}:role"
ROLES = [f"{BASE}/Reader", f"{BASE}/team/Writer", f"{BASE}/Fixed"]
WEB, POSTED = "AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"
Params = dict[str, Any]
TAGS = "https://aws.amazon.com/tags"
OIDC = f"arn:aws:iam::{saml_idp.ACCOUNT}:oidc-provider/idp.example"
FEDERATED = [PROVIDER_ARN, f"{OIDC}/tenant", f"{OIDC}/Tenant"]
CONDITIONS: list[dict[str, Any] | None] = [
    None,
    {"StringLike": {"idp.example/tenant:sub": "repo:*"}},
    {"ForAnyValue:StringEquals": {"idp.example/tenant:team": "blue"}},
]


@dataclass
class Client:
    """boto3's, for what sets up a broker in a thread."""

    broker: InProcess
    loop: asyncio.AbstractEventLoop
    service: str = ""
    key: Key | None = None

    def client(self, service: str, key: Key) -> "Client":
        return Client(self.broker, self.loop, service, key)

    def create_account(self, account: str = ACCOUNT) -> Key:
        return self._wait(self.broker.create_account(account))

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        operation = name.title().replace("_", "")
        ask = self.broker.ask
        return lambda **params: self._wait(
            ask(self.service, operation, self.key, **params)
        )

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


@dataclass
class Asked(Faces):
    """What is asked at the faces; nothing is sent."""

    requests: list[tuple[str, str, Params]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """There is no client."""

    def middleware(self, *_: object) -> None:
        """It asks as ``told`` does."""

    def private(self, operation: str, body: object) -> dict[str, Any]:
        path, content = f"/private/{operation}", json.dumps(body).encode()
        headers = {**self.gateway.sign(path, content), "X-Forwarded-Proto": "https"}
        self._send("POST", path, headers, content, is_tokened=False)
        return {"decisions": [["allow"]]}

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        *,
        is_tokened: bool = True,
    ) -> tuple[int, bytes]:
        token = {"X-Broker-Service-Token": self.token} if is_tokened else {}
        sent = {"headers": {**headers, **token}, "content": body}
        self.requests.append((method, path, sent))
        yes = {"decision": True}
        answer = {"Allowed": True, "result": True, "evaluations": [yes, yes], **yes}
        return 200, json.dumps(answer).encode()


def presented(modules: Iterable[ModuleType]) -> list[str]:
    """The proofs that the tests of these modules hand to the verifiers."""
    proofs: dict[str, None] = {}

    def noting(verify: Callable[..., Any]) -> Callable[..., Any]:
        def noted(proof: str, **params: Any) -> Any:
            if "\ud800" not in proof:  # no form can carry that
                proofs[proof] = None
            return verify(proof, **params)

        return noted

    with ExitStack() as stack:
        for owner, name in VERIFIERS:
            stack.enter_context(patch.object(owner, name, noting(getattr(owner, name))))
        for test, params in itertools.chain.from_iterable(map(calls, modules)):
            test(**params)
    return list(proofs)


def calls(module: ModuleType) -> Iterator[tuple[Callable[..., None], dict[str, Any]]]:
    """The module's tests with their parameters, but for those with fixtures."""
    for name, test in vars(module).items():
        if not name.startswith("test_"):
            continue
        sets = []
        for mark in getattr(test, "pytestmark", ()):
            names, values = mark.args
            if isinstance(names, str):
                names = [part.strip() for part in names.split(",")]
            rows = [ParameterSet.extract_from(v, len(names) == 1) for v in values]
            sets.append([dict(zip(names, row.values, strict=True)) for row in rows])
        for chosen in itertools.product(*sets):
            params = dict(ChainMap(*chosen))
            if params.keys() == inspect.signature(test).parameters.keys():
                yield test, params


def good_token(chance: random.Random) -> str:
    claims = {
        "sub": chance.choice(["alice", "repo:corp/app:ref:refs/heads/main", "<&>"]),
        "amr": chance.sample(["mfa", "pwd", "otp"], 2),
        "team": ["blue", "red"],
        TAGS: {"principal_tags": {"team": [chance.choice(["blue", "ro t"])]}},
    }
    for name in chance.sample(list(claims), chance.randint(0, 2)):
        del claims[name]
    return chance.choice([CLAIMED, NAMED]).token(claims=claims)


def good_response(chance: random.Random) -> str:
    attributes = saml_idp.aws_attributes(
        role=[f"{role},{PROVIDER_ARN}" for role in ROLES],
        session_name=chance.choice(["alice", "bob@example.com"]),
        duration=chance.choice([None, "900", "3600"]),
        source_identity=chance.choice([None, "alice"]),
        tags=chance.choice([{}, {"team": "blue"}, {"team": "Ü +=", "cost": ""}]),
    )
    knobs = chance.choice([*test_saml_conditions.ACCEPTED.values()])
    return saml_idp.build_response(
        assertion_id=f"_{chance.random()}", attributes=attributes, **knobs
    )


def to_exchange(chance: random.Random) -> Iterator[tuple[str, Params]]:
    """Operations with their parameters."""
    attacks = [
        *itertools.product([WEB], presented(TOKENS)),
        *itertools.product([POSTED], presented(RESPONSES)),
    ]
    assert len(attacks) > 1_000
    if not effort.is_long:
        attacks = chance.sample(attacks, 100)
    proofs = [*attacks, *[(WEB, ""), (POSTED, "")] * 60]
    for operation, attack in chance.sample(proofs, len(proofs)):
        make = good_token if operation == WEB else good_response
        proof = attack or make(chance)  # only now: it ends
        params: Params = {"RoleArn": chance.choice(ROLES[:2] * 3 + ROLES)}
        if chance.random() < 0.3:
            params["Policy"] = policy(chance.choice(["s3:Get*", "sqs:*"]))
        if operation == WEB:
            params |= {"RoleSessionName": "session", "WebIdentityToken": proof}
        else:
            params |= {"PrincipalArn": PROVIDER_ARN, "SAMLAssertion": proof}
        yield operation, params


async def set_up(broker: InProcess, root: Key) -> None:
    """An identity provider, two issuers, and roles that differ."""

    async def iam(operation: str, **params: Any) -> dict[str, Any]:
        return await broker.ask("iam", operation, root, **params)

    metadata = saml_idp.metadata_xml()
    await iam("CreateSAMLProvider", Name="Corp", SAMLMetadataDocument=metadata)
    for issuer in (CLAIMED, NAMED):
        await iam(
            "CreateOpenIDConnectProvider",
            Url=issuer.url,
            ClientIDList=["client-1"],
            ThumbprintList=["a" * 40],
        )
    await set_options(broker, "team")
    for number, arn in enumerate(ROLES):
        path, _, name = arn.partition(":role")[2].rpartition("/")
        await iam(
            "CreateRole",
            RoleName=name,
            Path=f"{path}/",
            AssumeRolePolicyDocument=trusting(None),
            MaxSessionDuration=7200 * (number + 1),
            Tags=[{"Key": "role", "Value": name}],
        )


async def set_options(broker: InProcess, *claims: str) -> None:
    """Give the issuers keys, and make condition keys of these claims."""
    account = AccountId(saml_idp.ACCOUNT)
    async with broker.services.stores.directory.change(account) as change:
        for issuer in (CLAIMED, NAMED):
            url = issuer.url.partition("//")[2]
            provider = await change.named(OIDC_PROVIDER, account, url)
            assert provider is not None
            options = {"StaticJwks": json.dumps(issuer.jwks()), "ClaimKeys": claims}
            await change.update(OIDC_PROVIDER, replace(provider, options=options))


def trusting(condition: dict[str, Any] | None) -> str:
    actions = [f"sts:{WEB}", f"sts:{POSTED}", "sts:TagSession", "sts:SetSourceIdentity"]
    return trust(({"Federated": FEDERATED}, actions, condition))


def changed(chance: random.Random) -> tuple[str, Params]:
    """An operation on a role or a provider, with its parameters."""
    role, provider = chance.choice(["Reader", "Writer"]), chance.choice(FEDERATED[1:])
    document = trusting(chance.choice([None, *CONDITIONS]))
    client: Params = {"OpenIDConnectProviderArn": provider, "ClientID": "client-2"}
    operations: list[tuple[str, Params]] = [
        ("UpdateRole", {"RoleName": role, "MaxSessionDuration": 3600 * 4}),
        ("UpdateAssumeRolePolicy", {"RoleName": role, "PolicyDocument": document}),
        ("AddClientIDToOpenIDConnectProvider", client),
        ("RemoveClientIDFromOpenIDConnectProvider", client),
    ]
    return chance.choice(operations)


@pytest.mark.deep
@pytest.mark.timeout(3_600)
async def test_every_proof_is_answered_by_what_it_says_alone(tmp_path: Path) -> None:
    chance = random.Random(28)
    answers: Counter[tuple[str, str]] = Counter()
    async with in_process(tmp_path) as broker:
        root = await broker.create_account(saml_idp.ACCOUNT)
        await set_up(broker, root)
        async with answered_twice(broker, tmp_path) as twice:
            for operation, params in to_exchange(chance):
                twice.at = None
                if chance.random() < 0.1:
                    change, members = changed(chance)
                    await broker.call("iam", change, root, **members)
                    await set_options(broker, *chance.choice([["team"], []]))
                twice.at = saml_idp.NOW if operation == POSTED else None
                reply = await broker.call("sts", operation, None, **params)
                answers[operation, reply.code] += 1
    assert min(answers[WEB, ""], answers[POSTED, ""]) > 30, answers


@pytest.mark.deep
@pytest.mark.timeout(3_600)
async def test_every_question_is_answered_by_what_it_says_alone(tmp_path: Path) -> None:
    chance = random.Random(28)
    async with in_process(tmp_path, trusted_proxies="127.0.0.1/32") as broker:
        client = Client(broker, asyncio.get_running_loop())
        requests = (await asyncio.to_thread(questions, client)).requests
        assert len(requests) > 1_500
        if not effort.is_long:
            requests = chance.sample(requests, 100)
        async with answered_twice(broker, tmp_path):
            statuses = [
                (await broker.http.request(method, ORIGIN + path, **sent)).status_code
                for method, path, sent in chance.sample(requests, len(requests))
            ]
    assert statuses.count(200) > len(requests) / 2


async def test_every_flow_of_the_budget_is_answered_alike(tmp_path: Path) -> None:
    """Certificates and signatures, too, as often as not by a memory."""
    with serving("/idp") as issuer:
        internal = f"127.0.0.1:{issuer.port}"
        async with in_process(tmp_path, internal_issuers=internal) as broker:
            flows = [*(await budget._flows(broker, issuer.issuer)).values()] * 6
            async with answered_twice(broker, tmp_path):
                for make in random.Random(28).sample(flows, len(flows)):
                    path, headers, body = make()
                    answer = await broker.http.post(
                        f"{ORIGIN}{path}", content=body, headers=headers
                    )
                    assert answer.status_code in {200, 201}, answer.text


def questions(broker: Client) -> Asked:
    """All that the list of decisions asks, and what is odd."""
    root = broker.create_account()
    api, iam = broker.client("broker", root), broker.client("iam", root)
    definition = {**DEFINITION, "Hosts": ["store.example.com"], "Routes": ROUTES}
    api.put_service(ServiceName="s3", Definition=json.dumps(definition))
    people = furnish(broker, root)
    put_policies(api, people)
    may_ask = {"Action": ["broker:Authorize", "broker:DeriveSigningKey"]}
    key = make_user(iam, "gateway", {"identity": [may_ask]})
    token = api.create_service_token(ServiceName="s3")["Token"]
    asked = Asked(ORIGIN, token, Path(), Gateway(key, "127.0.0.1:8080"))
    cases = [(case["who"], case["do"], case["object"]) for case in DATA["cases"]]
    cases += [
        (name, action, f"denied-{number}/a")
        for number, _ in enumerate(DATA["denies"])
        for name in DATA["deniable"]
        for action in ("GetObject", "PutObject")
    ]
    for name, action, path in cases:
        for ask in asked.all().values():
            ask(people[name], action, path)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    asked.requests += [
        ("POST", path, {"headers": headers, "content": json.dumps(body).encode()})
        for path, question in QUESTIONS.items()
        for body in variants(question)
    ]
    return asked
