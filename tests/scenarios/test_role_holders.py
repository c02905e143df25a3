"""Who had a role yesterday: one command, whatever way they came."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.leavers import terminals
from tests.leavers.directories import running_directories
from tests.leavers.people import Person
from tests.leavers.ways import KINDS
from tests.leavers.world import ldap_provider, number_of, running
from tests.support.broker import ACCOUNT, Key, running_broker
from tests.support.oidc_issuer import serving
from tests.support.policies import allow

OTHER = "444455556666"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/team/Deploy"


def trust(*principals: tuple[str, str, str]) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": {kind: name}, "Action": action}
                for kind, name, action in principals
            ],
        }
    )


def test_every_holder_of_a_role_is_listed(tmp_path: Path) -> None:
    with (
        serving() as server,
        running_broker(tmp_path, internal_issuers=server.host_and_path) as broker,
    ):
        root, visitor = broker.create_account(), broker.create_account(OTHER)
        iam = broker.client("iam", root)
        provider = iam.create_open_id_connect_provider(
            Url=server.issuer.url, ClientIDList=["ci"]
        )["OpenIDConnectProviderArn"]
        principals = (
            ("Federated", provider, "sts:AssumeRoleWithWebIdentity"),
            ("AWS", OTHER, "sts:AssumeRole"),
            ("AWS", OTHER, "sts:SetSourceIdentity"),
        )
        for path, name in (("/team/", "Deploy"), ("/", "Deployer")):
            iam.create_role(
                Path=path, RoleName=name, AssumeRolePolicyDocument=trust(*principals)
            )
        away = broker.client("iam", visitor)
        user = away.create_user(UserName="vera")["User"]["Arn"]
        away.put_user_policy(
            UserName="vera",
            PolicyName="Assume",
            PolicyDocument=allow("sts:*"),
        )
        key = away.create_access_key(UserName="vera")["AccessKey"]
        sts = broker.client("sts", Key.of(key))
        sts.assume_role(RoleArn=ROLE, RoleSessionName="visit", SourceIdentity="vera")
        sts.assume_role(
            RoleArn=ROLE.replace("team/Deploy", "Deployer"), RoleSessionName="other"
        )
        broker.client("sts").assume_role_with_web_identity(
            RoleArn=ROLE,
            RoleSessionName="job",
            WebIdentityToken=server.issuer.token(claims={"sub": "ci", "aud": "ci"}),
        )
        words = ("audit", "--role", "Deploy", "--account", ACCOUNT)
        heads, *lines = broker.command(*words).splitlines()
        assert heads.split("  ")[0] == "When"
        job, visit = lines
        assert provider in job
        assert "  job  " in job
        assert user in visit
        assert "  vera  " in visit
        records = [
            json.loads(line) for line in broker.command(*words, "--json").splitlines()
        ]
        assert [record["session"]["principal_arn"] for record in records] == [
            f"arn:aws:sts::{ACCOUNT}:assumed-role/Deploy/{name}"
            for name in ("job", "visit")
        ]
        assert broker.command("audit", "--role", "Deploy", "--account", OTHER) == ""
        assert broker.command(*words, "--until", "1h") == ""


def issued(person: Person, role: str) -> list[dict[str, Any]]:
    """The records of who had a role of the person's account, the oldest first."""
    words = ("audit", "--role", role, "--account", person.account.number, "--json")
    printed = person.world.broker.command(*words)
    return [json.loads(line) for line in reversed(printed.splitlines())]


@pytest.mark.parametrize(
    ("origin", "door", "exchange"),
    [
        ("SAML", "saml", "sts:AssumeRoleWithSAML"),
        ("OIDC", "signin", "sts:AssumeRoleWithWebIdentity"),
        ("LDAP", "signin", "sts:AssumeRoleWithLDAPIdentity"),
    ],
)
def test_who_came_by_pages_is_listed(
    tmp_path: Path, origin: str, door: str, exchange: str
) -> None:
    at_api = [ldap_provider(number_of(0))]
    with (
        running_directories(tmp_path, at_api, with_samba=False) as directories,
        running(tmp_path, directories_file=str(directories.file)) as world,
    ):
        world.directories = directories
        world.lay_out({"row": (origin, {})})
        world.settle()
        person = KINDS[origin](world.accounts["row"])
        console = person.console
        assert terminals.sso_log_in(person).credentials() is not None
        person.exchange()
        page = console.get("/console/switch")
        role = person.account.arn("role/First")
        assert "role/First" in console.submit(page, "/console/switch", role=role).text
        records = issued(person, "Person")
        assert {(record["action"], record["door"]) for record in records} == {
            (exchange, door),
            (exchange, "api"),
            ("sso:GetRoleCredentials", "portal"),
        }
        for record in records:
            session = record["session"]
            assert session["provider_arn"] == person.account.provider
            assert session["principal_arn"].endswith(f"/Person/{person.name}")
            assert session["expires_at"] * 1000 > session["issued_at_ms"]
        (switched,) = issued(person, "First")
        assert (switched["action"], switched["door"]) == ("sts:AssumeRole", "console")
        assert switched["caller_arn"].endswith(f"/Person/{person.name}")
