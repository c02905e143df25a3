"""A signed ``GetCallerIdentity`` shows who made it to whoever relays it, and to nobody
that it was not made for."""

import base64
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.support.aws_cli import AWS_CLI_1, aws_cli_2
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.iam_authenticator import (
    HEADER,
    Authenticator,
    TokenRefusedError,
    token_for,
    url_in,
)
from tests.support.private_dns import PrivateDns
from tests.support.servers import find_free_port
from tests.support.tls import tls_before
from tests.support.vault_aws import HEADER as VAULT_HEADER
from tests.support.vault_aws import LoginRefusedError, VaultServer, login_data
from tests.support.walk import Walk, read_steps, walking

ROOT = Path(__file__).parents[2]

REGION = "eu-west-1"
HOST = f"sts.{REGION}.amazonaws.com"
GLOBAL = "sts.amazonaws.com"
ELSEWHERE = "sts.eu-west-2.amazonaws.com"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Deployer"
TRUST = f"""
Accounts:
  "{ACCOUNT}":
    Users:
      - UserName: ana
        Policies:
          - PolicyName: Roles
            PolicyDocument:
              Version: 2012-10-17
              Statement: {{Effect: Allow, Action: sts:AssumeRole, Resource: "*"}}
    Roles:
      - RoleName: Deployer
        AssumeRolePolicyDocument:
          Version: 2012-10-17
          Statement:
            Effect: Allow
            Principal: {{AWS: "arn:aws:iam::{ACCOUNT}:root"}}
            Action: sts:AssumeRole
"""


@dataclass
class World:
    """The broker behind AWS's own names, and somebody with a role."""

    broker: RunningBroker
    network: PrivateDns
    user: Key
    session: Key

    def cluster(self, name: str = "production") -> Authenticator:
        return Authenticator(name, self.network)

    def vault(self, server_id: str = "vault.example.com") -> VaultServer:
        return VaultServer(server_id, GLOBAL, {ROLE}, self.network)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("broker")
    names = (HOST, GLOBAL, ELSEWHERE)
    port = find_free_port()
    with (
        running_broker(folder, host_aliases=",".join(names)) as broker,
        tls_before(folder, port, broker.port, names=("localhost", *names)) as authority,
    ):
        root = broker.create_account()
        broker.command("apply", "-", stdin=TRUST)
        iam = broker.client("iam", root)
        user = Key.of(iam.create_access_key(UserName="ana")["AccessKey"])
        network = PrivateDns(port, authority)
        yield World(broker, network, user, assume(broker, user))


def assume(broker: RunningBroker, user: Key) -> Key:
    answer = broker.client("sts", user).assume_role(
        RoleArn=ROLE, RoleSessionName="ana@example.com"
    )
    return Key.of(answer["Credentials"])


def credentials(key: Key) -> Credentials:
    return Credentials(key.access_key_id, key.secret_access_key, key.session_token)


def presigned(
    key: Key,
    *,
    host: str = HOST,
    region: str = REGION,
    action: str = "GetCallerIdentity",
    headers: dict[str, str] | None = None,
    age: timedelta = timedelta(),
    expires: int = 60,
) -> str:
    """A URL as authenticators' clients presign it."""
    request = AWSRequest(
        "GET",
        f"https://{host}/?Action={action}&Version=2011-06-15",
        headers={HEADER: "production"} if headers is None else headers,
    )
    signer = SigV4QueryAuth(credentials(key), "sts", region, expires=expires)
    when = datetime.now(UTC) - age
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: when)
        signer.add_auth(request)
    url: str = request.url
    return url


# Kubernetes


@pytest.fixture(scope="module", params=["1", "2"])
def token(world: World, request: pytest.FixtureRequest) -> str:
    """As ``kubectl`` gets it from the AWS CLI, which makes it without a request."""
    program = AWS_CLI_1 if request.param == "1" else aws_cli_2()
    made = world.broker.aws(
        *("eks", "get-token", "--cluster-name", "production", "--region", REGION),
        program=program,
        AWS_ACCESS_KEY_ID=world.session.access_key_id,
        AWS_SECRET_ACCESS_KEY=world.session.secret_access_key,
        AWS_SESSION_TOKEN=world.session.session_token or "",
        AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true",
    )
    text: str = made["status"]["token"]
    return text


def test_a_cluster_learns_who_a_kubectl_is(world: World, token: str) -> None:
    assert urlsplit(url_in(token)).netloc == HOST
    identity = world.cluster().verify(token)
    assert identity.canonical_arn == ROLE
    assert identity.account == ACCOUNT
    assert identity.session_name == "ana@example.com"
    assert world.cluster().verify(token) == identity  # as often as it is asked


def test_a_user_is_known_by_the_users_arn(world: World) -> None:
    identity = world.cluster().verify(token_for(presigned(world.user)))
    assert identity.canonical_arn == f"arn:aws:iam::{ACCOUNT}:user/ana"
    assert identity.session_name == ""


def test_a_token_is_good_at_its_own_cluster_alone(world: World, token: str) -> None:
    for other in ("staging", "Production", "production-2", "production,production"):
        with pytest.raises(TokenRefusedError, match="SignatureDoesNotMatch"):
            world.cluster(other).verify(token)


def test_a_token_holds_for_fifteen_minutes_whatever_it_says(world: World) -> None:
    """Clients sign 60 seconds and keep the token for fourteen minutes."""
    url = presigned(world.session, age=timedelta(minutes=14), expires=60)
    assert world.cluster().verify(token_for(url)).canonical_arn == ROLE
    url = presigned(world.session, age=timedelta(minutes=15, seconds=30), expires=60)
    with pytest.raises(TokenRefusedError, match="expired"):
        world.cluster().verify(token_for(url))
    # Nor does it at the broker, should a verifier forget to look.
    status, body = send(world, url)
    assert (status, "SignatureDoesNotMatch" in body) == (403, True)


def send(
    world: World, url: str, *, host: str = HOST, **headers: str
) -> tuple[int, str]:
    parts = urlsplit(url)
    params = {HEADER: "production", **headers}
    return world.network.send(host, "GET", f"{parts.path}?{parts.query}", params)


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("GetCallerIdentity", "GetSessionToken"),
        lambda url: url.replace("X-Amz-Expires=60", "X-Amz-Expires=900"),
        lambda url: f"{url}&Action=GetCallerIdentity",
        lambda url: f"{url}&x-amz-signedheaders=host%3Bx-k8s-aws-id",
        lambda url: f"{url}&X-Amz-Credential=AKIAEXAMPLE%2F20260101%2Feu-west-1",
        lambda url: url.replace("X-Amz-Signature=", "X-Amz-Signature=0"),
        lambda url: url.replace("%3Bx-k8s-aws-id", ""),
    ],
)
def test_no_part_of_a_url_can_be_another(world: World, change: object) -> None:
    assert callable(change)
    url = presigned(world.session)
    assert send(world, url)[0] == 200
    changed: str = change(url)
    assert changed != url
    assert send(world, changed)[0] in {400, 403}
    with pytest.raises(TokenRefusedError):
        world.cluster().verify(token_for(changed))


def test_a_proof_that_names_no_cluster_is_none_for_a_cluster(world: World) -> None:
    """STS cannot know: the verifier must look whether its header was signed."""
    url = presigned(world.session, headers={})
    assert send(world, url)[0] == 200
    with pytest.raises(TokenRefusedError, match="did not sign"):
        world.cluster().verify(token_for(url))


@pytest.mark.parametrize("host", [GLOBAL, ELSEWHERE, "localhost"])
def test_a_proof_for_one_host_is_none_at_another(world: World, host: str) -> None:
    url = presigned(world.session)
    assert send(world, url, host=host)[0] in {403, 421}
    moved = url.replace(HOST, host)
    with pytest.raises(TokenRefusedError):
        world.cluster().verify(token_for(moved))


def test_a_region_that_is_not_the_hosts_is_refused(world: World) -> None:
    made = token_for(presigned(world.session, region="eu-west-2"))
    with pytest.raises(TokenRefusedError, match="SignatureDoesNotMatch"):
        world.cluster().verify(made)


def test_a_revoked_session_proves_nobody(world: World) -> None:
    session = assume(world.broker, world.user)
    made = token_for(presigned(session))
    assert world.cluster().verify(made).canonical_arn == ROLE
    world.broker.command("sessions", "revoke", session.access_key_id)
    deadline = time.monotonic() + 10
    while is_known(world, made):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(TokenRefusedError, match="ExpiredToken"):
        world.cluster().verify(made)


def is_known(world: World, made: str) -> bool:
    try:
        world.cluster().verify(made)
    except TokenRefusedError:
        return False
    return True


def test_the_recipe_leads_to_the_cluster(world: World, tmp_path: Path) -> None:
    page = ROOT / "docs" / "recipes" / "kubernetes-authenticator.md"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    session = {
        "AWS_ACCESS_KEY_ID": world.session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": world.session.secret_access_key,
        "AWS_SESSION_TOKEN": world.session.session_token or "",
    }
    environment = {**world.broker.environment, **session, "PATH": path}
    with walking(Walk(tmp_path, environment), shares_network=True) as here:
        here.do(read_steps(page))
        (command,) = (
            step.command
            for step in read_steps(page, "The user")
            if step.command.startswith("aws eks")
        )
        made = here.run(command)
    assert world.cluster().verify(made).canonical_arn == ROLE
    # The page says how long such a token is, and what the verifier takes.
    assert 700 < len(made) < 1300


# Vault


BODY = "Action=GetCallerIdentity&Version=2011-06-15"


def signed_login(
    key: Key,
    *,
    host: str = GLOBAL,
    region: str = "us-east-1",
    body: str = BODY,
    headers: dict[str, str] | None = None,
    age: timedelta = timedelta(),
) -> dict[str, str]:
    """As Vault's clients make it."""
    params = {VAULT_HEADER: "vault.example.com"} if headers is None else headers
    request = AWSRequest(
        "POST",
        f"https://{host}/",
        data=body,
        headers={
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            **params,
        },
    )
    when = datetime.now(UTC) - age
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("botocore.auth.get_current_datetime", lambda: when)
        SigV4Auth(credentials(key), "sts", region).add_auth(request)
    return login_data("POST", f"https://{host}/", dict(request.headers.items()), body)


def test_vault_learns_who_logs_in(world: World) -> None:
    assert world.vault().log_in(signed_login(world.session)) == ROLE
    regional = signed_login(world.session, host=HOST, region=REGION)
    assert VaultServer("vault.example.com", HOST, {ROLE}, world.network).log_in(
        regional
    )


def test_whoever_is_not_bound_does_not_log_in(world: World) -> None:
    with pytest.raises(LoginRefusedError, match="user/ana does not belong"):
        world.vault().log_in(signed_login(world.user))


def test_a_login_is_good_at_its_own_server_alone(world: World) -> None:
    with pytest.raises(LoginRefusedError, match="expected another"):
        world.vault("other.example.com").log_in(signed_login(world.session))
    data = signed_login(world.session, headers={})
    with pytest.raises(LoginRefusedError, match="expected another"):
        world.vault().log_in(data)
    # The header of another server cannot be put in afterwards, signed or not.
    for name in (VAULT_HEADER, VAULT_HEADER.lower()):
        forged = edited(signed_login(world.session), name, "other.example.com")
        with pytest.raises(LoginRefusedError, match=r"SignatureDoesNotMatch|expected"):
            world.vault("other.example.com").log_in(forged)
        added = edited(data, name, "vault.example.com")
        with pytest.raises(LoginRefusedError, match="wasn't signed"):
            world.vault().log_in(added)


def edited(data: dict[str, str], name: str, value: str) -> dict[str, str]:
    """A login with another header."""
    headers = json.loads(base64.b64decode(data["iam_request_headers"]))
    headers = {
        key: text for key, text in headers.items() if key.lower() != name.lower()
    }
    headers[name] = [value]
    text = base64.b64encode(json.dumps(headers).encode()).decode()
    return {**data, "iam_request_headers": text}


def test_a_login_holds_for_five_minutes(world: World) -> None:
    assert world.vault().log_in(
        signed_login(world.session, age=timedelta(minutes=4, seconds=30))
    )
    old = signed_login(world.session, age=timedelta(minutes=5, seconds=30))
    with pytest.raises(LoginRefusedError, match="Signature expired"):
        world.vault().log_in(old)


def test_the_body_of_a_login_is_signed(world: World) -> None:
    good = signed_login(world.session)
    for body in (f"{BODY}&a=b", "Version=2011-06-15&Action=GetCallerIdentity"):
        other = signed_login(world.session, body=body)
        with pytest.raises(LoginRefusedError, match="SignatureDoesNotMatch"):
            world.vault().log_in(
                {**good, "iam_request_body": other["iam_request_body"]}
            )


def test_a_login_for_another_host_is_refused(world: World) -> None:
    elsewhere = signed_login(world.session, host="sts.example.com")
    with pytest.raises(LoginRefusedError, match="421"):
        world.vault().log_in(elsewhere)
    good = signed_login(world.session)
    moved = signed_login(world.session, host=HOST)
    with pytest.raises(LoginRefusedError, match="SignatureDoesNotMatch"):
        world.vault().log_in({**good, "iam_request_url": moved["iam_request_url"]})
