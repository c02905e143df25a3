"""The samples for workloads, as they are, against a broker and an issuer that run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

from broker.console.client_settings import client_variables
from tests.support.broker import ACCOUNT, REGION, RunningBroker, running_broker
from tests.support.oidc_issuer import IssuerServer, OidcIssuer, send_json, serving

SAMPLES = Path(__file__).parents[2] / "samples"
POD = "system:serviceaccount:shop:web"
WEB_IDENTITY = "sts:AssumeRoleWithWebIdentity"
MAIN = "repo:example/shop:ref:refs/heads/main"


def role_arn(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


@dataclass
class World:
    broker: RunningBroker
    server: IssuerServer
    iam: Any

    def sample(self, name: str, *words: str, **environment: str) -> Any:
        """A finished sample."""
        return subprocess.run(
            [sys.executable, str(SAMPLES / name), *words],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.broker.folder),
                "AWS_EC2_METADATA_DISABLED": "true",
                **client_variables(self.broker.url, REGION),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("broker")
    with serving() as server:
        server.issuer.add_key("key-2", number=1)
        host = server.host_and_path
        with running_broker(folder, internal_issuers=host) as broker:
            iam = broker.client("iam", broker.create_account())
            arn = iam.create_open_id_connect_provider(
                Url=server.issuer.url, ClientIDList=["sts.amazonaws.com"]
            )["OpenIDConnectProviderArn"]
            sample = (SAMPLES / "policies/trust-web-identity.json").read_text()
            ci = sample.replace("token.actions.githubusercontent.com", host)
            assert json.loads(ci)["Statement"][0]["Principal"]["Federated"] == arn
            pod = ci.replace(MAIN, POD)
            for name, trust in (("Deploy", ci), ("Pod", pod)):
                iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)
            yield World(broker, server, iam)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_issuers_revoked_key_ends_with_a_refresh(
    tmp_path: Path, workers: int
) -> None:
    """And its new one is accepted, although a key set was fetched a moment ago."""
    with serving() as server:
        issuer = server.issuer
        host = server.host_and_path
        with running_broker(tmp_path, internal_issuers=host, workers=workers) as broker:
            iam = broker.client("iam", broker.create_account())
            arn = iam.create_open_id_connect_provider(
                Url=issuer.url, ClientIDList=[issuer.audience]
            )["OpenIDConnectProviderArn"]
            statement = {
                "Effect": "Allow",
                "Principal": {"Federated": arn},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": {f"{host}:aud": issuer.audience}},
            }
            trust = {"Version": "2012-10-17", "Statement": statement}
            iam.create_role(RoleName="Job", AssumeRolePolicyDocument=json.dumps(trust))
            stolen = issuer.token()

            def exchange(token: str) -> str:
                # A connection of its own, which any worker may take.
                sts = broker.client("sts", None)
                try:
                    sts.assume_role_with_web_identity(
                        RoleArn=role_arn("Job"),
                        RoleSessionName="job",
                        WebIdentityToken=token,
                    )
                except ClientError as error:
                    return str(error.response["Error"]["Code"])
                return ""

            assert {exchange(stolen) for _ in range(12)} == {""}
            issuer.add_key("key-2", number=1)
            issuer.withdraw_key("key-1")
            new = issuer.token(kid="key-2")
            told = json.loads(broker.command("providers", "refresh", arn))
            assert (told["Keys"], told["Problem"]) == (["key-2"], "")
            time.sleep(1.1)
            assert {exchange(stolen) for _ in range(12)} == {"InvalidIdentityToken"}
            assert {exchange(new) for _ in range(12)} == {""}


@dataclass
class ProjectedVolume:
    """Files as Kubernetes projects them: links to a folder that is swapped at once."""

    folder: Path
    turn: int = 0

    @property
    def token(self) -> Path:
        return self.folder / "token"

    def write(self, token: str) -> None:
        self.turn += 1
        data = self.folder / f"..2026_{self.turn}"
        data.mkdir()
        (data / "token").write_text(token)
        link = self.folder / "..data_tmp"
        link.symlink_to(data.name)
        link.rename(self.folder / "..data")
        if not self.token.is_symlink():
            self.token.symlink_to("..data/token")


def pod_token(world: World, kid: str = "key-1", **claims: Any) -> str:
    params = {"sub": POD, "aud": ["sts.amazonaws.com"], **claims}
    return world.server.issuer.token(kid=kid, claims=params)


def test_a_pod_says_who_it_is(world: World, tmp_path: Path) -> None:
    volume = ProjectedVolume(tmp_path)
    volume.write(pod_token(world) + "\n")
    done = world.sample(
        "projected_token.py",
        AWS_ROLE_ARN=role_arn("Pod"),
        AWS_WEB_IDENTITY_TOKEN_FILE=str(volume.token),
    )
    assert f"You are: arn:aws:sts::{ACCOUNT}:assumed-role/Pod/" in done.stdout


def test_the_sdk_renews_with_the_token_that_is_there_by_then(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = ProjectedVolume(tmp_path)
    volume.write(pod_token(world))
    for name, value in {
        "AWS_ROLE_ARN": role_arn("Pod"),
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(volume.token),
        **client_variables(world.broker.url, REGION),
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    session = botocore.session.Session()
    sts = session.create_client("sts", endpoint_url=world.broker.url)
    credentials: Any = session.get_credentials()
    keys = {credentials.get_frozen_credentials().access_key}
    # An hour before its end the session is as good as over, for botocore.
    credentials._advisory_refresh_timeout = 7200
    credentials._mandatory_refresh_timeout = 7200
    credentials._refresh_using.__self__._expiry_window_seconds = 7200
    volume.write("rotation failed")
    with pytest.raises(ClientError, match="InvalidIdentityToken"):
        sts.get_caller_identity()
    for kid in ("key-2", "key-1"):
        volume.write(pod_token(world, kid))
        assert "assumed-role/Pod/" in sts.get_caller_identity()["Arn"]
        keys.add(credentials.get_frozen_credentials().access_key)
    assert len(keys) >= 3


def test_another_pod_gets_no_role(world: World, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(pod_token(world, sub="system:serviceaccount:shop:web-2"))
    done = world.sample(
        "projected_token.py",
        AWS_ROLE_ARN=role_arn("Pod"),
        AWS_WEB_IDENTITY_TOKEN_FILE=str(token),
    )
    assert done.returncode != 0
    assert "AccessDenied" in done.stderr


def ci_job(world: World, **claims: Any) -> dict[str, str]:
    """The variables of a job; its token is to be fetched from the CI system."""
    params = {"sub": MAIN, "aud": "sts.amazonaws.com", **claims}
    token = world.server.issuer.token(claims=params)
    path = "/job?api-version=2.0&audience=sts.amazonaws.com"
    world.server.answers[path] = lambda handler: send_json(handler, {"value": token})
    url = world.server.issuer.url + "/job?api-version=2.0"
    return {
        "ACTIONS_ID_TOKEN_REQUEST_URL": url,
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of the job",
    }


def test_a_job_of_the_main_branch_deploys(world: World) -> None:
    job = ci_job(world)
    done = world.sample("ci_token.py", "--role", role_arn("Deploy"), **job)
    assert done.stdout == (
        f"You are: arn:aws:sts::{ACCOUNT}:assumed-role/Deploy/ci\n"
    ), done.stderr
    variable = {
        "CI_ID_TOKEN": world.server.issuer.token(
            claims={"sub": MAIN, "aud": "sts.amazonaws.com"}
        ),
        "CI_JOB_ID": "4711",
    }
    done = world.sample("ci_token.py", "--role", role_arn("Deploy"), **variable)
    assert done.stdout.endswith("assumed-role/Deploy/4711\n"), done.stderr


REFUSED = {
    "another branch": {"sub": "repo:example/shop:ref:refs/heads/feature"},
    "a branch that only begins so": {"sub": f"{MAIN}-2"},
    "a pull request": {"sub": "repo:example/shop:pull_request"},
    "another repository": {"sub": "repo:example/shop-2:ref:refs/heads/main"},
    "another case": {"sub": "repo:Example/shop:ref:refs/heads/main"},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_job_of_anything_else_does_not(world: World, case: str) -> None:
    job = ci_job(world, **REFUSED[case])
    done = world.sample("ci_token.py", "--role", role_arn("Deploy"), **job)
    assert done.returncode != 0
    assert "AccessDenied" in done.stderr
    assert "You are" not in done.stdout


def test_a_policy_with_githubs_older_subject_alone_is_explained(world: World) -> None:
    """A repository of today sends the ids of its owner and itself."""
    trust = world.iam.get_role(RoleName="Deploy")["Role"]["AssumeRolePolicyDocument"]
    condition = trust["Statement"][0]["Condition"]["StringEquals"]
    (subject_key,) = (key for key in condition if key.endswith(":sub"))
    assert MAIN in condition[subject_key]
    condition[subject_key] = MAIN
    world.iam.create_role(RoleName="Older", AssumeRolePolicyDocument=json.dumps(trust))
    with_ids = "repo:example@123456/shop@456789:ref:refs/heads/main"
    job = ci_job(world, sub=with_ids)
    done = world.sample("ci_token.py", "--role", role_arn("Deploy"), **job)
    assert done.returncode == 0, done.stderr
    done = world.sample("ci_token.py", "--role", role_arn("Older"), **job)
    assert "AccessDenied" in done.stderr
    listed = world.broker.command("audit", "--json", "--action", WEB_IDENTITY)
    newest = json.loads(listed.splitlines()[0])
    explained = world.broker.command("explain", newest["event_id"])
    assert "List both forms, and require repository_id" in explained


def test_a_job_for_another_audience_proves_nothing(world: World) -> None:
    job = ci_job(world, aud="somebody else")
    done = world.sample("ci_token.py", "--role", role_arn("Deploy"), **job)
    assert "InvalidIdentityToken" in done.stderr


def test_claims_are_condition_keys_of_the_trust_policy(
    world: World, tmp_path: Path
) -> None:
    """What AWS documents for an issuer, and what the operator names for another."""
    github = OidcIssuer("https://token.actions.githubusercontent.com", audience="sts")
    runner = OidcIssuer("https://ci.example", audience="sts")
    workflow = "example/shared/.github/workflows/deploy.yml@refs/heads/main"

    def trust(issuer: OidcIssuer, sub: str, **equals: object) -> dict[str, object]:
        host = issuer.url.removeprefix("https://")
        return {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {
                    "Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}"
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        f"{host}:{name}": value
                        for name, value in {"sub": sub, **equals}.items()
                    }
                },
            },
        }

    def provider(issuer: OidcIssuer, **options: object) -> dict[str, object]:
        return {
            "Url": issuer.url,
            "ClientIdList": ["sts"],
            "Broker": {"StaticJwks": json.dumps(issuer.jwks()), **options},
        }

    file = tmp_path / "claims.yaml"
    file.write_text(
        json.dumps(
            {
                "Accounts": {
                    ACCOUNT: {
                        "OIDCProviders": [
                            provider(github),
                            provider(runner, ClaimKeys=["project_path", "ci/tier"]),
                        ],
                        "Roles": [
                            {
                                "RoleName": "Shared",
                                "AssumeRolePolicyDocument": trust(
                                    github,
                                    MAIN,
                                    job_workflow_ref=workflow,
                                    repository_id="74",
                                ),
                            },
                            {
                                "RoleName": "Runner",
                                "AssumeRolePolicyDocument": trust(
                                    runner,
                                    "job",
                                    project_path="a/b",
                                    **{"ci/tier": "3"},
                                ),
                            },
                        ],
                    }
                }
            }
        )
    )
    world.broker.command("apply", str(file))
    sts = world.broker.client("sts")

    def exchange(role: str, token: str) -> str:
        try:
            answer = sts.assume_role_with_web_identity(
                RoleArn=role_arn(role), RoleSessionName="job", WebIdentityToken=token
            )
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return str(answer["AssumedRoleUser"]["Arn"]).rpartition("role/")[2]

    claims = {"sub": MAIN, "job_workflow_ref": workflow, "repository_id": "74"}
    assert exchange("Shared", github.token(**claims)) == "Shared/job"
    for other in ({"job_workflow_ref": "x"}, {"repository_id": 75}):
        assert exchange("Shared", github.token(**{**claims, **other})) == "AccessDenied"
    assert (
        exchange("Shared", github.token(sub=MAIN, repository_id="74")) == "AccessDenied"
    )
    good = {"sub": "job", "project_path": "a/b", "ci": {"tier": 3}}
    assert exchange("Runner", runner.token(**good)) == "Runner/job"
    assert exchange("Runner", runner.token(**{**good, "ci": 3})) == "AccessDenied"
    assert (
        exchange("Runner", runner.token(**{**good, "project_path": {}}))
        == "InvalidIdentityToken"
    )
