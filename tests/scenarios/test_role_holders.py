"""Who had a role yesterday: one command, whatever way they came."""

import json
from pathlib import Path

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
