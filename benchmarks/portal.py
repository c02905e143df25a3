"""``GetRoleCredentials`` of the access portal, as a ratio to an empty handler.

One person's client asks again and again with its one access token, as clients do.
"""

import subprocess
import tempfile
from pathlib import Path

import httpx2
from lxml import html

from benchmarks.http import Row, empty_handler, installed, measure
from tests.scenarios.installation import Installation
from tests.support.broker import ACCOUNT
from tests.support.signin import BROWSER
from tests.support.storage import STORAGES

_SECONDS = 8
_CONNECTIONS = 64
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"


def run() -> list[Row]:
    """The figures, as label and text."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name, empty_handler() as url:
        lines = ["Action=GetCallerIdentity&Version=2011-06-15"] * 40_000
        baseline = measure(url, lines, Path(name)).per_second
        rows.append(("empty FastAPI handler", f"{baseline:.0f}/s"))
        for storage in STORAGES:
            with installed(Path(name) / storage, storage) as (installation, _):
                token = _log_in(installation)
                rate = _rate(
                    f"{installation.broker.url}/sso/federation/credentials"
                    f"?role_name=Reader&account_id={ACCOUNT}",
                    "-H",
                    f"x-amz-sso_bearer_token: {token}",
                )
                text = f"{rate:.0f}/s, {rate / baseline:.0%} of empty"
                rows.append((f"{storage}: GetRoleCredentials", text))
    return rows


def _log_in(installation: Installation) -> str:
    """An access token, by the device flow."""
    url = installation.broker.url
    with httpx2.Client(base_url=url, headers=BROWSER, follow_redirects=True) as http:

        def ask(path: str, **given: object) -> dict[str, str]:
            answer: dict[str, str] = http.post(f"/sso-oidc/{path}", json=given).json()
            return answer

        registered = ask("client/register", clientName="bench", clientType="public")
        client = {name: registered[name] for name in ("clientId", "clientSecret")}
        start = f"{url}/portal/{ACCOUNT}"
        device = ask("device_authorization", **client, startUrl=start)
        http.post(
            "/saml",
            data={
                "SAMLResponse": installation.assertion(),
                "RelayState": f"/portal/{ACCOUNT}",
            },
        )
        page = http.get("/portal/device", params={"user_code": device["userCode"]})
        (form,) = html.fromstring(page.text).xpath("//form[@method='post']")
        fields = {one.get("name"): one.get("value") for one in form.xpath(".//input")}
        http.post(
            "/portal/device",
            data={**fields, "answer": "allow"},
            headers={"origin": url},
        )
        tokens = ask(
            "token", **client, grantType=_DEVICE_CODE, deviceCode=device["deviceCode"]
        )
        return tokens["accessToken"]


def _rate(url: str, *more: str) -> float:
    """Requests a second, all of which must succeed."""
    done = subprocess.run(
        [
            *("wrk", "-t", "1", "-c", str(_CONNECTIONS), "-d", f"{_SECONDS}s"),
            *more,
            url,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    if "Non-2xx" in done.stdout:
        raise RuntimeError(done.stdout)
    line = next(one for one in done.stdout.splitlines() if "Requests/sec" in one)
    return float(line.split()[1])
