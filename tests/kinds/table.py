"""What the operations on each kind of thing answer, and which of two errors wins.

Write it again with ``python -m tests.kinds.table`` after changing an answer on purpose,
and read the difference before it is committed.
"""

import asyncio
import itertools
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.serialize import create_serializer
from botocore.utils import percent_encode_sequence
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.entities import LdapProvider
from broker.model.machines import Instance
from broker.model.upstream import Upstream
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from broker.stores.directory.kinds import INSTANCE, LDAP_PROVIDER, UPSTREAM
from tests.support.broker import REGION, Key
from tests.support.certificates import issue, of_version_2, server_certificate, to_pem
from tests.support.in_process import ORIGIN, InProcess, in_process, service_model
from tests.support.saml_idp import key_pair, metadata_xml

FOLDER = Path(__file__).parent
FILE = FOLDER / "table.txt"
REQUESTS = FOLDER / "requests.yaml"
WRITE = ".venv/bin/python -m tests.kinds.table"
ACCOUNT = AccountId("111122223333")
_DENIED = "@denied"
_QUOTA = "@quota"
_REST = create_serializer("rest-json", include_validation=False)
_UNLIKE = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
    (r"\b(A[A-Z]{3}|SAML[SP][PK])[A-Z0-9]{12,}", r"\1…"),
    (r"(\"(?:Token|ServicePassword|SecretAccessKey|Fingerprint)\": \")[^\"]+", r"\1…"),
    (r"(\"CertificateId\": \"|ssh-rsa |Certificate with id )[^ \"]+", r"\1…"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.\d]*(Z|\+00:00)", "TIME"),
    (r"(-----BEGIN [A-Z ]+-----)(\\n|[^-])*", r"\1…"),
    (r"(\"(crlData|SAMLMetadataDocument)\": \").*?[^\\]\"", r'\1…"'),
)
"""What differs from run to run, and what stands for it in the table."""


def _values() -> dict[str, Any]:
    authority = issue("Corp Root", is_authority=True, days=365)
    certificate, key = server_certificate()
    now, rsa_key = datetime.now(UTC), rsa.generate_private_key(65537, 2048)
    document = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}'
    trust = document.replace('"Resource":"*"', '"Principal":{"AWS":"*"}')
    return {
        "AUTHORITY": authority.pem,
        "CERTIFICATE": certificate,
        "KEY": key,
        "OTHER_KEY": server_certificate()[1],
        "TWO_CERTIFICATES": certificate * 2,
        "TWO_KEYS": key * 2,
        "OLD_CERTIFICATE": server_certificate(valid_from=now - timedelta(days=60))[0],
        "CERTIFICATE_OF_VERSION_2": to_pem(of_version_2(issue("x").der)),
        "SSH_KEY": _ssh_key(rsa_key),
        "SMALL_SSH_KEY": _ssh_key(rsa.generate_private_key(65537, 1024)),
        "OTHER_SSH_KEY": _ssh_key(ed25519.Ed25519PrivateKey.generate()),
        "TWO_SSH_KEYS": _ssh_key(rsa_key) + "\n" + _ssh_key(rsa_key),
        "REVOKED": authority.revoke(),
        "REVOKED_BY_ANOTHER": issue("Corp Root", is_authority=True).revoke(),
        "NONE": b"none",
        "FIFTY_TAGS": [{"Key": f"k{n}", "Value": ""} for n in range(50)],
        "FIFTY_LOW_TAGS": [{"key": f"k{n}", "value": ""} for n in range(50)],
        "ELEVEN_POLICIES": [f"arn:aws:iam::aws:policy/P{n}" for n in range(11)],
        "POLICY": document,
        "OTHER_POLICY": document.replace("Allow", "Deny"),
        "VERY_LARGE_POLICY": document.replace("GetObject", "Get" * 4000),
        "LONG_POLICY": document + " " * 2048,
        "LARGE_POLICY": document.replace("GetObject", "Get" * 3000),
        "TRUST": trust.replace("s3:GetObject", "sts:AssumeRole"),
        "THUMBPRINT": "AB" * 20,
        "SIX_THUMBPRINTS": [f"{n}" * 40 for n in range(6)],
        "METADATA": metadata_xml(),
        "NO_METADATA": "none" * 300,
        "SAML_KEY": key_pair().private_pem.decode(),
        "CODE1": "123456",
        "CODE2": "654321",
        "INSTANCE": "i-0123456789abcdef0",
    }


def _ssh_key(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    encoding, form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(encoding, form).decode()


@dataclass
class Known:
    """What the names in requests stand for: made here, or had by an answer."""

    values: dict[str, Any] = field(default_factory=_values)

    def filled(self, value: Any) -> Any:
        """A request with the values of its names."""
        if isinstance(value, str) and value.startswith("$"):
            return self.values[value[1:]]
        if isinstance(value, dict):
            return {name: self.filled(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(inner) for inner in value]
        return value

    def learn(self, answer: Any) -> None:
        """Keep the texts of an answer, by member."""
        if isinstance(answer, dict):
            self.values |= {n: v for n, v in answer.items() if isinstance(v, str)}
            for inner in answer.values():
                self.learn(inner)


@dataclass
class _World:
    """The broker, its callers, and what answers had."""

    broker: InProcess
    root: Key
    powerless: Key
    known: Known = field(default_factory=Known)

    async def answer(
        self, service: str, operation: str, params: Mapping[str, Any], region: str
    ) -> tuple[str, Any]:
        """The error's code and the message, or an empty code and the answer."""
        members = {name: value for name, value in params.items() if value is not None}
        key = self.powerless if members.pop(_DENIED, False) else self.root
        quota = members.pop(_QUOTA, None)
        sent = self.known.filled(members)
        if quota is not None:
            await self._set_quotas({quota: 0})
        try:
            if service == "rolesanywhere":
                return await self._rest(operation, sent, key, region)
            reply = await self.broker.call(service, operation, key, **sent)
        finally:
            if quota is not None:
                await self._set_quotas({})
        if reply.status != 200:
            return reply.code, reply.message
        parsed = reply.parsed(service, operation)
        parsed.pop("ResponseMetadata", None)
        return "", parsed

    async def _rest(
        self, operation: str, params: Any, key: Key, region: str
    ) -> tuple[str, Any]:
        model = service_model("rolesanywhere").operation_model(operation)
        made = _REST.serialize_to_request(params, model)
        request = AWSRequest(
            made["method"],
            f"{ORIGIN}{made['url_path']}?{percent_encode_sequence(made['query_string'])}",
            data=made["body"],
            headers=made["headers"],
        )
        SigV4Auth(
            Credentials(key.access_key_id, key.secret_access_key),
            "rolesanywhere",
            region,
        ).add_auth(request)
        prepared = request.prepare()
        reply = await self.broker.http.request(
            prepared.method,
            prepared.url,
            content=prepared.body,
            headers=dict(prepared.headers.items()),
        )
        answer = json.loads(reply.content or b"{}")
        code = reply.headers.get("x-amzn-errortype", "")
        return code, answer.get("message") if code else answer

    async def _set_quotas(self, quotas: Mapping[str, int]) -> None:
        async with self.broker.services.stores.directory.change(ACCOUNT) as change:
            account = await change.find(kinds.ACCOUNT, ACCOUNT)
            assert account is not None
            await update_account(change, replace(account, quotas=quotas))


def read_requests() -> dict[str, list[dict[str, Any]]]:
    """The steps of each kind, by its title."""
    results: dict[str, list[dict[str, Any]]] = yaml.safe_load(
        REQUESTS.read_text("utf-8")
    )
    return results


async def make_table() -> str:
    """The whole table as text."""
    lines = ["# What the operations on each kind answer, and which of two errors wins"]
    lines.append(f"# Written by: {WRITE}")
    with tempfile.TemporaryDirectory() as folder:
        async with in_process(Path(folder)) as broker:
            world = await _furnished(broker)
            for title, steps in read_requests().items():
                lines += ["", f"## {title}"]
                service = title.rpartition("(")[2].rstrip(")")
                for step in steps:
                    lines += await _rows(world, service, step)
    return "\n".join(lines) + "\n"


async def _furnished(broker: InProcess) -> _World:
    root = await broker.create_account(ACCOUNT)
    made = await broker.ask("iam", "CreateUser", root, UserName="reader")
    made = await broker.ask("iam", "CreateAccessKey", root, UserName="reader")
    access_key = made["AccessKey"]
    world = _World(
        broker, root, Key(access_key["AccessKeyId"], access_key["SecretAccessKey"])
    )
    trust = world.known.values["TRUST"]
    await broker.ask(
        "iam", "CreateRole", root, RoleName="Reader", AssumeRolePolicyDocument=trust
    )
    async with broker.services.stores.directory.change(ACCOUNT) as change:
        await change.insert(
            INSTANCE,
            Instance(
                account=ACCOUNT,
                instance_id=world.known.values["INSTANCE"],
                region=REGION,
                public_key=bytes(32),
                registered_at=broker.clock.now(),
                registered_by="",
                profile_id=None,
            ),
        )
        await change.insert(
            LDAP_PROVIDER,
            LdapProvider(
                account=ACCOUNT,
                unique_id="LDAPPCOMPANY",
                name="company",
                directory="headquarters",
                created_at=broker.clock.now(),
            ),
        )
        await change.put(
            UPSTREAM,
            Upstream(
                account=ACCOUNT,
                name="ceph",
                definition="{}",
                access_key_id="key",
                sealed_secret=b"",
                created_at=broker.clock.now(),
                updated_at=broker.clock.now(),
            ),
        )
    return world


async def _rows(world: _World, service: str, step: dict[str, Any]) -> list[str]:
    region = step.pop("region", REGION)
    only_faults = step.pop("only faults", False)
    faults: dict[str, Any] = step.pop("faults", {})
    ((operation, params),) = step.items()
    rows = ["", operation]
    if faults:
        rows += await _fault_rows(world, service, operation, params, faults)
    if not only_faults:
        code, answer = await world.answer(service, operation, params, region)
        if code:
            rows.append(f"  {code}: {_plain(answer)}")
        else:
            rows.append(f"  {_plain(_text(answer, service))}")
            world.known.learn(answer)
    return rows


async def _fault_rows(
    world: _World, service: str, operation: str, params: Any, faults: dict[str, Any]
) -> list[str]:
    faults = {"denied": {_DENIED: True}, **faults}
    alone: dict[str, tuple[str, Any]] = {}
    for name, members in faults.items():
        alone[name] = await world.answer(
            service, operation, {**params, **members}, REGION
        )
        assert alone[name][0], f"{operation} succeeds with {name}"
    loses: dict[str, list[str]] = {name: [] for name in faults}
    others: list[str] = []
    for text, two in itertools.combinations(faults, 2):
        if faults[text].keys() & faults[two].keys() or alone[text] == alone[two]:
            continue
        both = {**params, **faults[text], **faults[two]}
        answer = await world.answer(service, operation, both, REGION)
        if _same(answer, alone[text]):
            loses[two].append(text)
        elif _same(answer, alone[two]):
            loses[text].append(two)
        else:
            others.append(f"  {text} and {two}: {answer[0]}: {_plain(answer[1])}")
    return [
        f"  {name}: {code}: {_plain(message)}"
        + (f" | after {', '.join(sorted(loses[name]))}" if loses[name] else "")
        for name, (code, message) in alone.items()
    ] + others


def _same(entry: tuple[str, Any], two: tuple[str, Any]) -> bool:
    """Whether two errors are one, or both refuse a permission, on whatever it is."""
    refusals = [str(message).startswith("User: ") for _, message in (entry, two)]
    return entry == two or (entry[0] == two[0] and all(refusals))


def _text(answer: Any, service: str) -> str:
    """An answer on one line; what is listed in the order of random ids is sorted."""
    if service == "rolesanywhere":
        for name, value in answer.items():
            if isinstance(value, list) and name != "tags":
                answer[name] = sorted(
                    value, key=lambda entity: json.dumps(entity["name"])
                )
    return json.dumps(
        answer,
        default=lambda value: "…" if isinstance(value, bytes) else str(value),
        sort_keys=True,
        ensure_ascii=False,
    )


def _plain(text: Any) -> str:
    plain = str(text)
    for pattern, instead in _UNLIKE:
        plain = re.sub(pattern, instead, plain)
    return plain


if __name__ == "__main__":
    FILE.write_text(asyncio.run(make_table()), encoding="utf-8")
