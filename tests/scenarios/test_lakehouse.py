"""PyIceberg itself, by the recipe: a role's credentials, versitygw, and a store behind it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenarios.test_protected import PROGRAMS
from tests.scenarios.test_recipes import RECIPES
from tests.scenarios.test_versitygw_program import World, policy, running_gateway
from tests.support.broker import ACCOUNT
from tests.support.oidc_issuer import OidcIssuer
from tests.support.programs import program_marks

pytestmark = program_marks("versitygw")

PAGE = (RECIPES / "lakehouse.md").read_text("utf-8")
(PERMISSIONS,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
(SURROUNDINGS,) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(JOB,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
READER = PERMISSIONS.replace(', "s3:PutObject", "s3:DeleteObject"', "")


@dataclass
class Lake:
    world: World
    folder: Path

    def run(self, role: str, program: str = JOB) -> tuple[int, str]:
        """The job of the page with the role's credentials: status, and what it printed."""
        python = PROGRAMS / "python"
        if not python.exists():
            assert os.environ.get("CI") != "true", "PyIceberg is missing"
            pytest.skip("PyIceberg is not installed: .ci/setup long")
        exported = dict(re.findall(r"(AWS_\w+)=(\S+)", SURROUNDINGS))
        assert exported["AWS_ROLE_ARN"].endswith(":role/SalesWriter")
        done = subprocess.run(
            [
                str(python),
                "-c",
                program.replace("https://s3.example.com", self.world.url),
            ],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                **exported,
                "AWS_ENDPOINT_URL_STS": self.world.broker.url,
                "AWS_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/{role}",
                "AWS_WEB_IDENTITY_TOKEN_FILE": str(self.folder / "token"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    folder = tmp_path_factory.mktemp("lake")
    gateway, work = folder / "gateway", folder / "work"
    gateway.mkdir()
    work.mkdir()
    issuer = OidcIssuer("https://ci.example.com", audience="lake")
    provider = {
        "Url": issuer.url,
        "ClientIdList": ["lake"],
        "Broker": {"StaticJwks": json.dumps(issuer.jwks())},
    }
    file = folder / "account.json"
    file.write_text(json.dumps({"Accounts": {ACCOUNT: {"OIDCProviders": [provider]}}}))
    (work / "token").write_text(issuer.token(sub="nightly"))
    trust = {
        "Effect": "Allow",
        "Principal": {
            "Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/ci.example.com"
        },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {"ci.example.com:sub": "nightly"}},
    }
    with running_gateway(gateway, "s3") as world:
        world.broker.command("apply", str(file))
        world.root.create_bucket(Bucket="lake")
        for name, document in (("SalesWriter", PERMISSIONS), ("SalesReader", READER)):
            world.iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
            world.iam.put_role_policy(
                RoleName=name, PolicyName="Lake", PolicyDocument=document
            )
        yield Lake(world, work)


def test_a_role_writes_its_tables_and_a_reader_reads_them(lake: Lake) -> None:
    assert READER != PERMISSIONS
    code, printed = lake.run("SalesWriter")
    assert (code, printed.splitlines()[-1]) == (0, "2"), printed
    code, printed = lake.run("SalesReader")
    assert code != 0
    assert "Access Denied" in printed or "PermissionError" in printed, printed
    head, _, _ = JOB.partition("rows = ")
    reading = (
        f"{head}print(catalog.load_table('sales.orders').scan().to_arrow().num_rows)"
    )
    code, printed = lake.run("SalesReader", reading)
    assert (code, printed.splitlines()[-1]) == (0, "2"), printed


def test_a_writer_cannot_leave_its_prefix(lake: Lake) -> None:
    elsewhere = JOB.replace("lake/sales/orders", "lake/other").replace(
        "sales.orders", "sales.other"
    )
    code, printed = lake.run("SalesWriter", elsewhere)
    assert code != 0
    assert "Access Denied" in printed or "PermissionError" in printed, printed
