"""Every operation of IAM's model with a ``Marker`` tells the same in any page size.

The operations come from the model; the account has several of everything. Pages of
one or two items, put together, are the whole answer: nothing twice, nothing missing.
"""

import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from broker.actions.models import load_service_model
from tests.support import saml_idp
from tests.support.broker import ACCOUNT, Key
from tests.support.certificates import server_certificate
from tests.support.in_process import InProcess, in_process
from tests.support.rows import of_file

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASE = f"arn:aws:iam::{ACCOUNT}"
MODEL: Any = load_service_model("iam")
TAGS = [{"Key": f"key{number}", "Value": "x"} for number in range(3)]
SEVERAL = 3
ALLOW = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"},
    }
)
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": ACCOUNT},
            "Action": "sts:AssumeRole",
        },
    }
)
GIVEN: dict[str, dict[str, Any]] = of_file(__file__, "GIVEN")
"""What is asked for, by operation."""

ALONE = of_file(__file__, "ALONE")
"""Operations whose answer here has fewer than `SEVERAL` items, and why."""


def paged_operations() -> set[str]:
    shapes = MODEL["shapes"]
    return {
        name
        for name, operation in MODEL["operations"].items()
        if "input" in operation
        and "Marker" in shapes[operation["input"]["shape"]]["members"]
    }


def lists_of(operation: str) -> list[str]:
    """The members of the answer that are cut into pages."""
    shapes = MODEL["shapes"]
    output = shapes[MODEL["operations"][operation]["output"]["shape"]]
    return [
        name
        for name, reference in output["members"].items()
        if shapes[reference["shape"]]["type"] == "list"
    ]


class Account:
    def __init__(self, broker: InProcess, root: Key) -> None:
        self.broker = broker
        self.root = root
        self.job = ""

    async def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        return await self.broker.ask("iam", operation, self.root, **params)

    async def furnish(self) -> None:
        for number in range(SEVERAL):
            name = str(number)
            await self(
                "CreatePolicy", PolicyName=f"p{name}", PolicyDocument=ALLOW, Tags=TAGS
            )
            await self("CreateGroup", GroupName=f"g{name}")
            await self("CreateUser", UserName=f"u{name}", Tags=TAGS)
            await self(
                "CreateRole",
                RoleName=f"r{name}",
                AssumeRolePolicyDocument=TRUST,
                Tags=TAGS,
            )
            await self(
                "CreateInstanceProfile", InstanceProfileName=f"i{name}", Tags=TAGS
            )
            await self(
                "CreateVirtualMFADevice", VirtualMFADeviceName=f"m{name}", Tags=TAGS
            )
            body, key = server_certificate()
            await self(
                "UploadServerCertificate",
                ServerCertificateName=f"c{name}",
                CertificateBody=body,
                PrivateKey=key,
                Tags=TAGS,
            )
        for number in range(SEVERAL):
            await self._furnish_owners(number)
        await self("CreateAccountAlias", AccountAlias="paged-corp")
        await self("AddRoleToInstanceProfile", InstanceProfileName="i0", RoleName="r0")
        await self(
            "CreateSAMLProvider",
            Name="Corp",
            SAMLMetadataDocument=saml_idp.metadata_xml(),
            Tags=TAGS,
        )
        await self(
            "CreateOpenIDConnectProvider", Url="https://issuer.example", Tags=TAGS
        )
        made = await self("GenerateServiceLastAccessedDetails", Arn=f"{BASE}:user/u0")
        self.job = made["JobId"]

    async def _furnish_owners(self, number: int) -> None:
        arn = f"{BASE}:policy/p{number}"
        inline = {"PolicyName": f"inline{number}", "PolicyDocument": ALLOW}
        for kind in ("Group", "User", "Role"):
            first = {f"{kind}Name": f"{kind[0].lower()}0"}
            each = {f"{kind}Name": f"{kind[0].lower()}{number}"}
            await self(f"Put{kind}Policy", **first, **inline)
            await self(f"Attach{kind}Policy", **first, PolicyArn=arn)
            if number:
                await self(f"Attach{kind}Policy", **each, PolicyArn=f"{BASE}:policy/p0")
        await self("AddUserToGroup", GroupName="g0", UserName=f"u{number}")
        if number:
            await self("AddUserToGroup", GroupName=f"g{number}", UserName="u0")
            await self("CreateAccessKey", UserName="u0")
            document = ALLOW.replace("s3:", "ec2:")
            await self(
                "CreatePolicyVersion",
                PolicyArn=f"{BASE}:policy/p0",
                PolicyDocument=document,
            )
        await self("UploadSSHPublicKey", UserName="u0", SSHPublicKeyBody=ssh_key())

    async def pages(
        self, operation: str, size: int | None, **params: Any
    ) -> AsyncIterator[dict[str, Any]]:
        more = {} if size is None else {"MaxItems": size}
        marker: dict[str, str] = {}
        while True:
            answer = await self(operation, **params, **more, **marker)
            yield answer
            if not answer.get("IsTruncated"):
                assert "Marker" not in answer
                return
            marker = {"Marker": answer["Marker"]}


def ssh_key() -> str:
    key = rsa.generate_private_key(65537, 2048).public_key()
    encoding, form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_bytes(encoding, form).decode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def account(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Account]:
    async with in_process(tmp_path_factory.mktemp("pages")) as broker:
        made = Account(broker, await broker.create_account(ACCOUNT))
        await made.furnish()
        yield made


async def test_the_model_has_no_other_list() -> None:
    assert paged_operations() == GIVEN.keys() | {"GetOrganizationsAccessReport"}


@pytest.mark.parametrize("operation", sorted(GIVEN))
@pytest.mark.parametrize("size", [1, 2])
async def test_small_pages_are_the_whole_answer(
    account: Account, operation: str, size: int
) -> None:
    params = {
        name: account.job if value == "{job}" else value
        for name, value in GIVEN[operation].items()
    }
    (whole,) = [page async for page in account.pages(operation, None, **params)]
    if operation == "ListPoliciesGrantingServiceAccess":
        return  # the model has no MaxItems
    parts = [page async for page in account.pages(operation, size, **params)]
    items = 0
    for name in lists_of(operation):
        together = [item for page in parts for item in page.get(name, [])]
        assert together == whole.get(name, [])
        items += len(together)
    assert all(
        sum(len(page.get(name, [])) for name in lists_of(operation)) <= size
        for page in parts
    )
    assert operation in ALONE or items >= SEVERAL


@pytest.mark.parametrize("noun", ["User", "Group", "Role"])
async def test_pages_are_stable_while_others_write(account: Account, noun: str) -> None:
    """Whoever is there all the time is listed once; the others do not matter."""
    create, delete, key = f"Create{noun}", f"Delete{noun}", f"{noun}Name"
    more = {"AssumeRolePolicyDocument": TRUST} if key == "RoleName" else {}
    chance = random.Random(20)
    path = {"Path": "/stable/"}
    steady = [f"steady{number:02}" for number in range(12)]
    passing = [f"passing{number:02}" for number in range(12)]
    for name in (*steady, *passing[:6]):
        await account(create, **{key: name}, **path, **more)
    there, gone = set(passing[:6]), set(passing[6:])
    seen: list[str] = []
    async for page in account.pages(f"List{noun}s", 3, PathPrefix="/stable/"):
        seen += [item[key] for item in page[f"{noun}s"]]
        for _ in range(2):
            if chance.random() < 0.5 and there:
                name = chance.choice(sorted(there))
                await account(delete, **{key: name})
                there.remove(name)
                gone.add(name)
            else:
                name = chance.choice(sorted(gone))
                await account(create, **{key: name}, **path, **more)
                gone.remove(name)
                there.add(name)
    assert [name for name in seen if name in set(steady)] == steady
    for name in (*steady, *there):
        await account(delete, **{key: name})
