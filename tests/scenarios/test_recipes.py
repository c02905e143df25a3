"""The recipes of docs/recipes, as written: their commands are read from the pages.

What they need besides the broker is stood in for by programs of the same name, and
tokens of the documented shape are made here.
"""

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import httpx2 as httpx
import jwt
import pytest
import yaml
from botocore.exceptions import ClientError
from lxml import html

from broker.console.client_settings import client_variables
from tests.support.admission import evaluate
from tests.support.broker import Key, RunningBroker, running_broker
from tests.support.identity_providers import NODE, Browser, browsing
from tests.support.lemonldap import lemonldap
from tests.support.oidc_issuer import OidcIssuer
from tests.support.programs import program
from tests.support.rows import of_file
from tests.support.servers import find_free_port
from tests.support.signin import text_of
from tests.support.walk import Walk, read_steps, walking

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "docs" / "recipes"
STS = "https://broker.example.com"
LEMON_CLI = "/usr/share/lemonldap-ng/bin/lemonldap-ng-cli"


@contextmanager
def following(
    page: str, broker: RunningBroker, folder: Path, *, programs: Mapping[str, str] = {}
) -> Iterator[Walk]:
    """A shell beside a running broker that stands for the page's."""
    walk = Walk(
        folder,
        {**broker.environment, "PATH": path_with(folder, programs)},
        instead={STS: broker.url},
    )
    with walking(walk, shares_network=True) as here:
        here.do(read_steps(RECIPES / page))
        yield here


def path_with(folder: Path, programs: Mapping[str, str]) -> str:
    """Where commands are found: these scripts, and this environment's."""
    place = folder / "programs"
    place.mkdir()
    for name, text in programs.items():
        script = place / name
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(0o755)
    return f"{place}:{Path(sys.executable).parent}:{os.environ['PATH']}"


def exchange(here: Walk, role: str, token: str) -> str:
    """The ARN that the AWS CLI gets for a token, as a job or pod does."""
    (here.folder / "job-token").write_text(token)
    settings = client_variables(here.instead[STS], "eu-west-1")
    printed = here.run(
        " ".join(f"{name}={value}" for name, value in settings.items())
        + f" AWS_ROLE_ARN={role} AWS_ROLE_SESSION_NAME=job"
        " AWS_WEB_IDENTITY_TOKEN_FILE=job-token aws sts get-caller-identity"
    )
    arn: str = json.loads(printed)["Arn"]
    return arn


def register_keys(here: Walk, provider: str, issuer: OidcIssuer) -> None:
    """In place of the internet, from which the broker would fetch them."""
    (here.folder / "keys.json").write_bytes(issuer.jwks_bytes())
    here.run(f"broker providers set {provider} StaticJwks=@keys.json")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    with running_broker(tmp_path_factory.mktemp("broker")) as made:
        yield made


ACCOUNT_ROLES = "arn:aws:iam::123456789012:role"
PROVIDERS = "arn:aws:iam::123456789012:oidc-provider"

GITHUB = of_file(__file__, "GITHUB")
GITLAB = of_file(__file__, "GITLAB")
POD = {
    "sub": "system:serviceaccount:shop:reports",
    "aud": ["sts.amazonaws.com"],
    "kubernetes.io": {
        "namespace": "shop",
        "serviceaccount": {"name": "reports", "uid": "8b1fe5b8"},
    },
}


@pytest.mark.long
def test_github_actions(broker: RunningBroker, tmp_path: Path) -> None:
    issuer = OidcIssuer("https://token.actions.githubusercontent.com")
    with following("github-actions.md", broker, tmp_path) as here:
        register_keys(here, f"{PROVIDERS}/token.actions.githubusercontent.com", issuer)
        arn = exchange(here, f"{ACCOUNT_ROLES}/Deploy", issuer.token(claims=GITHUB))
        assert arn.endswith("assumed-role/Deploy/job")
        with_ids = "repo:example@123456/shop@456789"
        new = {**GITHUB, "sub": f"{with_ids}:ref:refs/heads/main"}
        arn = exchange(here, f"{ACCOUNT_ROLES}/Deploy", issuer.token(claims=new))
        assert arn.endswith("assumed-role/Deploy/job")
        for claims in (
            {"sub": "repo:example/shop:pull_request"},
            {"sub": f"{with_ids}:pull_request"},
            {"repository_id": "8"},
            {"sub": "repo:exampleevil@9/shopping@8:ref:refs/heads/main"},
        ):
            other = issuer.token(claims={**GITHUB, **claims})
            with pytest.raises(AssertionError, match="AccessDenied"):
                exchange(here, f"{ACCOUNT_ROLES}/Deploy", other)


@pytest.mark.long
def test_gitlab_ci(broker: RunningBroker, tmp_path: Path) -> None:
    issuer = OidcIssuer("https://gitlab.example.com", audience=broker.url)
    with following("gitlab-ci.md", broker, tmp_path) as here:
        register_keys(here, f"{PROVIDERS}/gitlab.example.com", issuer)
        arn = exchange(here, f"{ACCOUNT_ROLES}/Deploy", issuer.token(claims=GITLAB))
        assert arn.endswith("assumed-role/Deploy/job")
        other = {**GITLAB, "ref_protected": "false"}
        with pytest.raises(AssertionError, match="AccessDenied"):
            exchange(here, f"{ACCOUNT_ROLES}/Deploy", issuer.token(claims=other))


@pytest.mark.long
def test_other_ci_systems(broker: RunningBroker, tmp_path: Path) -> None:
    rows = of_file(__file__, "test_other_ci_systems")
    with following("ci.md", broker, tmp_path) as here:
        for url, role, claims, others in rows:
            issuer = OidcIssuer(url)
            host_and_path = url.removeprefix("https://")
            register_keys(here, f"{PROVIDERS}/{host_and_path}", issuer)
            token = issuer.token(claims=claims)
            arn = exchange(here, f"{ACCOUNT_ROLES}/{role}", token)
            assert arn.endswith(f"assumed-role/{role}/job")
            token = issuer.token(claims={**claims, **others})
            with pytest.raises(AssertionError, match="AccessDenied"):
                exchange(here, f"{ACCOUNT_ROLES}/{role}", token)


@pytest.mark.long
def test_kubernetes(broker: RunningBroker, tmp_path: Path) -> None:
    """The page's last command is the exchange."""
    issuer = OidcIssuer("https://kubernetes.default.svc.cluster.local")
    (tmp_path / "jwks").write_bytes(issuer.jwks_bytes())
    discovery = {
        "issuer": issuer.url,
        "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    }
    (tmp_path / "discovery").write_text(json.dumps(discovery, separators=(",", ":")))
    (tmp_path / "pod").write_text(issuer.token(claims=POD))
    kubectl = (
        f'case "$*" in\n"get --raw /.well-known/openid-configuration")'
        f" cat {tmp_path}/discovery ;;\n"
        f'"get --raw /openid/v1/jwks") cat {tmp_path}/jwks ;;\n'
        '"-n shop create token reports --audience sts.amazonaws.com")'
        f' cat {tmp_path}/pod ;;\n*) echo "no such call: $*" >&2; exit 1 ;;\nesac'
    )
    page = following("kubernetes.md", broker, tmp_path, programs={"kubectl": kubectl})
    with page as here:
        # The keys stand in the file: applying it again keeps them.
        here.do(read_steps(RECIPES / "kubernetes.md", "At the broker"))
        details = {**POD["kubernetes.io"], "pod": {"name": "web-0", "uid": "1"}}
        web = {**POD, "sub": "system:serviceaccount:shop:web", "kubernetes.io": details}
        arn = exchange(here, f"{ACCOUNT_ROLES}/Shop", issuer.token(claims=web))
        assert arn.endswith("assumed-role/Shop/job")
        for role, claims in (
            ("Reports", web),
            ("Shop", {**web, "kubernetes.io": {**details, "namespace": "other"}}),
        ):
            with pytest.raises(AssertionError, match="AccessDenied"):
                exchange(here, f"{ACCOUNT_ROLES}/{role}", issuer.token(claims=claims))
        two = {**POD, "aud": ["sts.amazonaws.com", "other"]}
        with pytest.raises(AssertionError, match="more than one audience"):
            exchange(here, f"{ACCOUNT_ROLES}/Reports", issuer.token(claims=two))


@contextmanager
def signed_in_as_ana(folder: Path, page: Path) -> Iterator[Walk]:
    """A shell with the page's role, once its account is made."""
    with running_broker(folder) as broker:
        root = broker.create_account()
        environment = {
            **broker.environment,
            "PATH": path_with(folder, {}),
            "AWS_ENDPOINT_URL": broker.url,
            "AWS_DEFAULT_REGION": "eu-west-1",
        }
        walk = Walk(folder, environment, instead={STS: broker.url})
        with walking(walk, shares_network=True) as here:
            here.do(read_steps(page, "At the broker"))
            iam = broker.client("iam", root)
            iam.create_user(UserName="ana")
            policy = {"Effect": "Allow", "Action": "sts:*", "Resource": "*"}
            iam.put_user_policy(
                UserName="ana",
                PolicyName="Roles",
                PolicyDocument=json.dumps(
                    {"Version": "2012-10-17", "Statement": policy}
                ),
            )
            user = Key.of(iam.create_access_key(UserName="ana")["AccessKey"])
            sts = broker.client("sts", user)
            asked = {
                "RoleArn": f"{ACCOUNT_ROLES}/Deployer",
                "RoleSessionName": "kubectl",
            }
            for other in ({}, {"SourceIdentity": "bob"}):
                with pytest.raises(ClientError, match="AccessDenied"):
                    sts.assume_role(**asked, **other)
            made = sts.assume_role(**asked, SourceIdentity="ana")["Credentials"]
            here.run(
                f"export AWS_ACCESS_KEY_ID={made['AccessKeyId']}"
                f" AWS_SECRET_ACCESS_KEY={made['SecretAccessKey']}"
                f" AWS_SESSION_TOKEN={made['SessionToken']}"
            )
            yield here


@pytest.mark.long
def test_people_in_a_kubernetes_cluster(tmp_path: Path) -> None:
    """The API server's expressions, with the token of the page's command."""
    page = RECIPES / "kubernetes-people.md"
    with signed_in_as_ana(tmp_path, page) as here:
        here.do(read_steps(page, "At the cluster", "The user"))
        (command,) = (step.command for step in read_steps(page, "The user"))
        token = json.loads(here.run(command))["status"]["token"]
    written = page.read_text().partition("```yaml\nusers:")[2].partition("```")[0]
    runs = yaml.safe_load(f"users:{written}")["users"][0]["user"]["exec"]
    joined = command.replace("\\\n", "")
    assert [runs["command"], *runs["args"]] == shlex.split(joined)

    claims = jwt.decode(token, options={"verify_signature": False})
    text = (tmp_path / "authentication.yaml").read_text()
    (configured,) = yaml.safe_load(text)["jwt"]
    issuer = configured["issuer"]
    assert (claims["iss"], [claims["aud"]]) == (issuer["url"], issuer["audiences"])

    def results(rules: list[dict[str, str]], **params: object) -> list[bool]:
        return [evaluate(rule["expression"], params) for rule in rules]

    rules, mappings = configured["claimValidationRules"], configured["claimMappings"]
    assert results(rules, claims=claims) == [True, True]
    of_root = {**claims, "sub": "arn:aws:iam::123456789012:root"}
    assert results(rules, claims=of_root) == [False, True]
    del of_root["https://sts.amazonaws.com/"]["source_identity"]
    assert results(rules, claims=of_root) == [False, False]
    claims = jwt.decode(token, options={"verify_signature": False})
    username, groups = results(list(mappings.values()), claims=claims)
    assert (username, groups) == ("broker:ana", [f"broker:{ACCOUNT_ROLES}/Deployer"])
    reserved = configured["userValidationRules"]
    assert results(reserved, user={"username": username}) == [True]
    assert results(reserved, user={"username": "system:admin"}) == [False]


@pytest.mark.long
def test_machine_certificate(broker: RunningBroker, tmp_path: Path) -> None:
    etc = tmp_path / "etc"
    walk = Walk(
        tmp_path,
        {
            **broker.environment,
            "PATH": path_with(tmp_path, {}),
            "HOME": str(tmp_path),
            "PAGER": "",
        },
        instead={STS: broker.url, "/etc/broker-agent": str(etc)},
    )
    with walking(walk, shares_network=True) as here:
        here.do(read_steps(RECIPES / "machine-certificate.md"))


@contextmanager
def following_keycloak(
    folder: Path, docker: str, **environment: str
) -> Iterator[tuple[Walk, str, str]]:
    """A shell that did what the page says, the broker's address and Keycloak's.

    ``docker`` is the script that stands for the command of that name.
    """
    keycloak, broker = find_free_port(), find_free_port()
    url = f"http://127.0.0.1:{broker}"
    walk = Walk(
        folder,
        {
            "PATH": path_with(folder, {"docker": docker.format(port=keycloak)}),
            "HOME": str(folder),
            # The page has no other settings than its own; ports may be taken here.
            "BROKER_PUBLIC_URL": url,
            **environment,
        },
        instead={
            "127.0.0.1:8180": f"127.0.0.1:{keycloak}",
            "--http-port 8180": f"--http-port {keycloak}",
            "127.0.0.1:8080": f"127.0.0.1:{broker}",
            "broker serve": f"broker serve --port {broker}",
            STS: url,
        },
        servers={
            "docker run": "http://127.0.0.1:8180/realms/example"
            "/.well-known/openid-configuration",
            "broker serve": "http://127.0.0.1:8080/readyz",
        },
    )
    with walking(walk, shares_network=True) as here:
        here.do(read_steps(RECIPES / "keycloak.md"))
        yield here, url, f"http://127.0.0.1:{keycloak}"


def login_page(browser: Browser, url: str) -> httpx.Response:
    """What the realm shows, once it is chosen."""
    start = browser.get(f"{url}/signin/123456789012")
    (link,) = html.fromstring(start.text).xpath("//a[contains(., '/example')]/@href")
    return browser.get(f"{url}{link}")


def test_keycloak(tmp_path: Path) -> None:
    """Ends as the page does: Ana has the role of her group, and Carl has none."""
    if shutil.which("node") is None or not (NODE / "node_modules").is_dir():
        pytest.skip("npm's oidc-provider is not installed")
    docker = (
        f"cd {NODE} && exec node keycloak.mjs {{port}} {tmp_path}/example-realm.json"
    )
    with following_keycloak(tmp_path, docker) as (_, url, _):
        pages = {}
        for name in ("ana", "carl"):
            with browsing() as browser:
                login = login_page(browser, url)
                consent = browser.submit(login, login=name, password="change-me")
                pages[name] = text_of(browser.submit(consent))
    assert "assumed-role/Operator/ana@example.com" in pages["ana"]
    assert "none of your groups is mapped to a role" in pages["carl"]


@pytest.mark.long
@program("LemonLDAP::NG", "liblemonldap-ng-portal-perl")
def test_lemonldap(tmp_path: Path) -> None:
    """Up to a person who is signed in, with the portal's own command line."""
    with (
        lemonldap(tmp_path / "idp", find_free_port()) as idp,
        running_broker(tmp_path) as broker,
    ):
        idp.configure()
        # As who runs the tests, not as www-data.
        own = f'{LEMON_CLI} --user "$(id -un)" --group "$(id -gn)" "$@"'
        path = path_with(tmp_path, {"lemonldap-ng-cli": f"exec {own}"})
        walk = Walk(
            tmp_path,
            {**broker.environment, **idp.environment, "PATH": path},
            instead={"https://auth.example.com": idp.url, STS: broker.url},
        )
        page = RECIPES / "lemonldap.md"
        with walking(walk, shares_network=True) as here:
            here.do(read_steps(page, "The portal issues SAML"))
            idp.restart()
            here.do(read_steps(page, "The broker knows the portal"))
            here.do(read_steps(page, "The portal knows the broker"))
            here.do(read_steps(page, "Sign in"))
            idp.restart()
        sp = quote(f"{broker.url}/saml", safe="")
        address = f"{idp.url}/saml/singleSignOn?IDPInitiated=1&sp={sp}"
        with browsing() as browser:
            login = browser.get(address)
            posting = browser.submit(login, user="dwho", password="dwho")
            page_text = text_of(browser.submit(posting))
        assert browser.url == f"{broker.url}/console/", page_text
        assert "assumed-role/Staff/dwho@badwolf.org" in page_text


def exit_code(here: Walk, words: Sequence[str]) -> str:
    return here.run(f"{shlex.join(words)} >printed; echo $?").strip()


def test_policies_in_ci(tmp_path: Path) -> None:
    """Nothing but the program and the page's files; a hook gets the files that match."""
    walk = Walk(tmp_path, {"PATH": path_with(tmp_path, {})})
    with walking(walk) as here:
        here.do(read_steps(RECIPES / "policies-in-ci.md"))
        (repo,) = yaml.safe_load((tmp_path / ".pre-commit-config.yaml").read_text())[
            "repos"
        ]
        listed = [
            "old.json",
            "policies/jobs.json",
            "policies/reports.json",
            "policies/notes.md",
        ]
        for hook, expected in zip(repo["hooks"], ["1", "1"], strict=True):
            assert hook["language"] == "system"
            files = [name for name in listed if re.search(hook["files"], name)]
            assert files == ["policies/jobs.json", "policies/reports.json"]
            words = [*shlex.split(hook["entry"]), *files]
            assert exit_code(here, words) == expected
            words.remove("policies/jobs.json")
            assert exit_code(here, words) == "0"
        workflow = yaml.safe_load(
            (tmp_path / ".github/workflows/policies.yml").read_text()
        )
        (job,) = workflow["jobs"].values()
        (command,) = [
            s["run"] for s in job["steps"] if s.get("run", "").startswith("broker ")
        ]
        here.run(f"{command} || test $? = 1")
        log = json.loads((tmp_path / "policies.sarif").read_text())
        assert len(log["runs"][0]["results"]) == 1
