"""Whole exchanges over HTTP, as ratios to an empty handler on the same server.

Load comes from wrk with one thread on the same two cores; no token or assertion is
sent twice, and nothing about them is known before.
"""

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import requests
from benchmarks.saml import python3_saml
from tests.scenarios.installation import Installation, policy, trust
from tests.support import saml_idp
from tests.support.broker import ACCOUNT, Key
from tests.support.certificates import Issued, issue
from tests.support.oidc_issuer import OidcIssuer, serving
from tests.support.servers import find_free_port
from tests.support.storage import STORAGES, broker_on

_CONNECTIONS = 64
_SECONDS = 40
_WORKER = f"arn:aws:iam::{ACCOUNT}:role/BenchWorker"
_LUA = Path(__file__).with_name("load.lua")
Row = tuple[str, str]


@dataclass(frozen=True)
class Rate:
    """Requests a second, and the median answer time."""

    per_second: float
    median_ms: float
    requests: int


def run() -> list[Row]:
    """All figures, as label and text."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name, empty_handler() as url:
        folder = Path(name)
        lines = ["Action=GetCallerIdentity&Version=2011-06-15"] * 60_000

        def empty() -> float:
            rate = measure(url, lines, folder)
            return rate.per_second

        baseline = empty()
        rows.append(("empty FastAPI handler", f"{baseline:.0f}/s"))
        moto = _moto_rate(folder)
        stock = _stock_is_valid_rate()
        rows.append(("moto server, AssumeRoleWithWebIdentity", f"{moto:.0f}/s"))
        rows.append(("stock python3-saml is_valid() alone", f"{stock:.0f}/s"))
        bare = _bare_rate(folder)
        rows.append(("bare web identity exchange", f"{bare / baseline:.0%} of empty"))
        for storage in STORAGES:
            with installed(folder / storage, storage) as (installation, ready):
                rows.append((f"{storage}: start to ready", f"{ready:.2f} s"))
                rows += _rates(installation, storage, folder, baseline, moto, stock)
    return rows


def _rates(  # noqa: PLR0917  # the figures it compares with
    installation: Installation,
    storage: str,
    folder: Path,
    baseline: float,
    moto: float,
    stock: float,
) -> Iterator[Row]:
    url = installation.broker.url
    session = Key.of(installation.web_identity()["Credentials"])

    def row(
        label: str,
        lines: Iterable[str],
        *more: Callable[[float], str],
        path: str = "",
    ) -> Row:
        rate = measure(f"{url}{path}", lines, folder)
        texts = [
            f"{rate.per_second:.0f}/s",
            f"{rate.per_second / baseline:.0%} of empty",
        ]
        texts += [text(rate.per_second) for text in more]
        texts.append(f"median {rate.median_ms:.1f} ms")
        return f"{storage}: {label}", ", ".join(texts)

    yield row(
        "AssumeRoleWithWebIdentity",
        requests.web_identity(installation.issuer.issuer, 12_000),
        lambda rate: f"{rate / moto:.1f} times moto",
    )
    yield row(
        "AssumeRoleWithSAML",
        requests.saml(installation, 4_000),
        lambda rate: f"{rate / stock:.1f} times is_valid()",
    )
    yield row(
        "GetCallerIdentity",
        requests.signed(url, session, 20_000, Action="GetCallerIdentity"),
    )
    machine, members = _machines(installation)
    yield row(
        "CreateSession",
        requests.sessions(url, machine, members, 8_000),
        path="/sessions",
    )
    user = _user(installation)
    yield row(
        "GetSessionToken",
        requests.signed(url, user, 12_000, Action="GetSessionToken"),
    )
    yield row(
        "AssumeRole",
        requests.signed(
            url,
            user,
            12_000,
            Action="AssumeRole",
            RoleArn=_WORKER,
            RoleSessionName="bench-{}",
        ),
    )


def _machines(installation: Installation) -> tuple[Issued, dict[str, str]]:
    """A certificate, and what it asks ``CreateSession`` for."""
    root = issue("Bench Root", is_authority=True)
    api = installation.broker.client("rolesanywhere", installation.root)
    anchor = api.create_trust_anchor(
        name="bench",
        enabled=True,
        source={
            "sourceType": "CERTIFICATE_BUNDLE",
            "sourceData": {"x509CertificateData": root.pem},
        },
    )["trustAnchor"]["trustAnchorArn"]
    role = installation.iam.create_role(
        RoleName="BenchMachine",
        AssumeRolePolicyDocument=trust(
            (
                {"Service": "rolesanywhere.amazonaws.com"},
                ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
                None,
            )
        ),
    )["Role"]["Arn"]
    profile = api.create_profile(name="bench", roleArns=[role], enabled=True)
    return root.issue("bench"), {
        "trustAnchorArn": anchor,
        "profileArn": profile["profile"]["profileArn"],
        "roleArn": role,
    }


def _user(installation: Installation) -> Key:
    """A user's key, and a role that the user may assume."""
    iam = installation.iam
    iam.create_user(UserName="bench")
    iam.put_user_policy(
        UserName="bench", PolicyName="All", PolicyDocument=policy("sts:*")
    )
    iam.create_role(
        RoleName="BenchWorker",
        AssumeRolePolicyDocument=trust(
            ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "sts:AssumeRole", None)
        ),
    )
    return Key.of(iam.create_access_key(UserName="bench")["AccessKey"])


def measure(
    url: str, lines: Iterable[str], folder: Path, *, connections: int = _CONNECTIONS
) -> Rate:
    """Send every line once."""
    load = folder / "load.txt"
    load.write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [
            *("wrk", "-t", "1", "-c", str(connections), "-d", f"{_SECONDS}s"),
            *("-s", str(_LUA), url),
        ],
        env={**os.environ, "LOAD": str(load)},
        capture_output=True,
        text=True,
        check=True,
    )
    words = next(
        line.split() for line in done.stdout.splitlines() if line.startswith("RESULT")
    )
    if int(words[3]):
        raise RuntimeError(f"{words[3]} requests failed: {done.stderr}")
    return Rate(int(words[1]) / float(words[2]), float(words[4]), int(words[1]))


@contextmanager
def installed(
    folder: Path, storage: str, workers: int = 1
) -> Iterator[tuple[Installation, float]]:
    """A broker on ``embedded`` or ``redis+postgresql``.

    With it the seconds from its start to its being ready.
    """
    folder.mkdir(parents=True)
    with (
        serving("/idp") as issuer,
        broker_on(
            storage,
            folder,
            fsync=True,
            workers=workers,
            start=False,
            forked=False,
            internal_issuers=f"127.0.0.1:{issuer.port}",
            rate_limit="0",
            log_format="json",
        ) as broker,
    ):
        yield _started(broker, issuer)


def _started(broker, issuer) -> tuple[Installation, float]:  # type: ignore[no-untyped-def] # noqa: ANN001  # see the caller
    broker.start()  # makes schema and keyring
    broker.stop()
    began = time.monotonic()
    broker.start()
    ready = time.monotonic() - began
    return Installation(broker, issuer), ready


def empty_handler() -> AbstractContextManager[str]:
    return _server("benchmarks.empty")


@contextmanager
def _server(module: str, *arguments: str) -> Iterator[str]:
    port = find_free_port()
    with running([sys.executable, "-m", module, str(port), *arguments]):
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/readyz")
        yield url


def _bare_rate(folder: Path) -> float:
    """What remains of a web identity exchange without any rule; see ``bare``."""
    issuer = OidcIssuer("https://idp.example")
    jwks = folder / "jwks.json"
    jwks.write_bytes(issuer.jwks_bytes())
    lines = requests.web_identity(issuer, 12_000)
    with _server("benchmarks.bare", str(folder), str(jwks)) as url:
        return measure(url, lines, folder).per_second


def _moto_rate(folder: Path) -> float:
    port = find_free_port()
    body = (
        "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam"
        "%3A%3A123456789012%3Arole%2FReader&RoleSessionName=s-{}&WebIdentityToken=abcd"
    )
    with running(["moto_server", "-p", str(port), "-H", "127.0.0.1"]):
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/moto-api/")
        # Unsigned calls of this action end in an error there, so it is signed.
        lines = requests.signed(
            url, Key("AKIAIOSFODNN7EXAMPLE", "x" * 40), 3_000, **_form(body)
        )
        return measure(url, lines, folder).per_second


def _form(body: str) -> dict[str, str]:
    from urllib.parse import parse_qsl  # noqa: PLC0415  # only here

    return {k: v for k, v in parse_qsl(body) if k != "Version"}


def _stock_is_valid_rate() -> float:
    """How many signed responses stock python3-saml validates in a second."""
    judge = python3_saml(saml_idp.build_response(now=datetime.now(UTC)))
    count = 300
    began = time.perf_counter()
    for _ in range(count):
        judge()
    return count / (time.perf_counter() - began)


@contextmanager
def running(command: list[str]) -> Iterator[None]:
    bin_folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1)
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{url} does not answer")
