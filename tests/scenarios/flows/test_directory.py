"""The recipe for directories as written, with slapd; then a person signs in.

A broker with two workers in a process of its own: whichever worker a step meets, it
knows the person.
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2 as httpx
import pytest
from botocore.exceptions import ClientError
from lxml import html

from tests.scenarios.test_recipes import RECIPES, path_with
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.forked import run_forked
from tests.support.slapd import (
    PASSWORD,
    SERVICE_PASSWORD,
    Slapd,
    dn_of,
    group,
    person,
    start_slapd,
)
from tests.support.sso_login import Home
from tests.support.walk import Walk, read_steps, walking

LDAP = "ldaps://ldap.example.com"
STS = "https://broker.example.com"
PROVIDER = "arn:aws:iam::123456789012:ldap-provider/corp"
SAME = {"sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with start_slapd(
        person("ann"),
        person("bob"),
        group("staff", dn_of("ann"), dn_of("bob")),
        group("admins", dn_of("bob")),
    ) as server:
        yield server


@pytest.fixture(scope="module")
def broker(
    slapd: Slapd, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBroker]:
    folder = tmp_path_factory.mktemp("directory")
    (folder / "bind-password").write_text(SERVICE_PASSWORD)
    (folder / "ca.pem").write_text(slapd.ca_file.read_text())
    (described,) = [
        step.content
        for step in read_steps(RECIPES / "ldap.md")
        if step.file == "directories.yaml"
    ]
    server = f"ldaps://localhost:{slapd.tls_port}"
    path = folder / "directories.yaml"
    path.write_text(described.replace(LDAP, server))
    with running_broker(folder, workers=2, directories_file=str(path)) as running:
        walk = Walk(
            folder,
            {**running.environment, "PATH": path_with(folder, {})},
            instead={f"{LDAP}:636": server, LDAP: server, STS: running.url},
        )
        with walking(walk, shares_network=True) as here:
            here.do(read_steps(RECIPES / "ldap.md"))
        yield running


def sign_in(
    browser: httpx.Client, name: str, password: str = PASSWORD
) -> httpx.Response:
    page = browser.get("/signin/example")
    (start,) = set(re.findall(r"/signin/123456789012/with/[A-Z0-9]+", page.text))
    form = html.fromstring(browser.get(start).text).xpath("//form[@method='post']")[0]
    fields = {
        f.get("name"): f.get("value") for f in form.xpath(".//input[@type='hidden']")
    }
    data = {**fields, "username": name, "password": password}
    return browser.post(form.get("action"), data=data, headers=SAME)


def credentials(browser: httpx.Client) -> Key:
    home = browser.get("/console/")
    (form,) = html.fromstring(home.text).xpath("//form[@action='/console/credentials']")
    fields = {f.get("name"): f.get("value") for f in form.xpath(".//input")}
    label = browser.post("/console/credentials", data=fields, headers=SAME).text
    text = html.fromstring(label).text_content()
    results = dict(re.findall(r"export (AWS_[A-Z_]+)=(\S+)", text))
    return Key(
        results["AWS_ACCESS_KEY_ID"],
        results["AWS_SECRET_ACCESS_KEY"],
        results["AWS_SESSION_TOKEN"],
    )


def call_for_a_minute(sts: Any) -> None:
    """Ask who one is, until that is refused."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        sts.get_caller_identity()
        time.sleep(0.1)


@pytest.mark.quick
def test_a_person_signs_in_and_takes_credentials_to_a_terminal(
    broker: RunningBroker,
) -> None:
    with httpx.Client(base_url=broker.url, follow_redirects=True) as browser:
        assert "ann" in sign_in(browser, "ann").text
        who: Any = broker.client("sts", credentials(browser)).get_caller_identity()
    assert who["Arn"] == "arn:aws:sts::123456789012:assumed-role/Staff/ann"


def test_the_console_gives_nothing_to_who_has_left(
    broker: RunningBroker, slapd: Slapd
) -> None:
    slapd.add(person("eve"))
    staff = "cn=staff,ou=groups,dc=example,dc=com"
    slapd.modify(staff, "add: member", f"member: {dn_of('eve')}")
    with httpx.Client(base_url=broker.url, follow_redirects=True) as browser:
        sign_in(browser, "eve")
        key = credentials(browser)
        slapd.delete(dn_of("eve"))
        with pytest.raises(KeyError):  # the page shows none
            credentials(browser)
    # The refusal lets the workers ask at their next turn; without it, they do so
    # within a minute.
    with pytest.raises(ClientError, match="ExpiredToken"):
        call_for_a_minute(broker.client("sts", key))


def test_a_stranger_who_types_wrong_passwords_ends_nothing(
    broker: RunningBroker, slapd: Slapd
) -> None:
    slapd.add(person("dee"))
    staff = "cn=staff,ou=groups,dc=example,dc=com"
    slapd.modify(staff, "add: member", f"member: {dn_of('dee')}")
    locked = ("delete: pwdAccountLockedTime",)
    with httpx.Client(base_url=broker.url, follow_redirects=True) as browser:
        sign_in(browser, "dee")
        key = credentials(browser)
        with httpx.Client(base_url=broker.url, follow_redirects=True) as stranger:
            answers = [sign_in(stranger, "dee", "wrong").status_code for _ in range(6)]
        assert answers == [403] * 4 + [429] * 2
        with pytest.raises(AssertionError, match="No such attribute"):
            slapd.modify(dn_of("dee"), *locked)  # there is no lock to delete
        slapd.lock("dee")
        assert credentials(browser)
        assert broker.client("sts", key).get_caller_identity()
        slapd.modify(dn_of("dee"), *locked)


class Person:
    """Somebody's browser, signed out, in which a login of a terminal is allowed."""

    def __init__(self, broker: RunningBroker, name: str) -> None:
        self.broker = broker
        self.name = name
        self.arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Staff/{name}"

    def allow(self, address: str) -> None:
        """Sign in on the way to the page that asks, and allow what it says."""
        with httpx.Client(follow_redirects=True) as browser:
            page = self.fill_in(browser, address)
            assert "Give this device your access?" in page.text, page.text
            (who,) = html.fromstring(page.text).xpath("//*[@id='who']/text()")
            assert who == self.name
            page = self._send(browser, page, answer="allow")
            assert "The device has your access" in page.text, page.text

    def fill_in(self, browser: httpx.Client, address: str) -> httpx.Response:
        """Open the address and sign in with the directory's password."""
        page = browser.get(address)
        (start,) = html.fromstring(page.text).xpath("//a[contains(@href, '/with/')]")
        page = browser.get(urljoin(str(page.url), start.get("href")))
        return self._send(browser, page, username=self.name, password=PASSWORD)

    def _send(
        self, browser: httpx.Client, page: httpx.Response, **typed: str
    ) -> httpx.Response:
        (form,) = html.fromstring(page.text).xpath("//form[@method='post']")
        params = {f.get("name"): f.get("value") for f in form.xpath(".//input")}
        return browser.post(
            urljoin(str(page.url), form.get("action")),
            data={**params, **typed},
            headers={"origin": self.broker.url},
        )


def test_aws_sso_login_with_a_directorys_password_ends_with_the_account(
    broker: RunningBroker, slapd: Slapd, tmp_path: Path
) -> None:
    slapd.add(person("zoe"))
    staff = "cn=staff,ou=groups,dc=example,dc=com"
    slapd.modify(staff, "add: member", f"member: {dn_of('zoe')}")
    home = Home(tmp_path, broker.url, role="Staff")
    zoe = Person(broker, "zoe")
    home.log_in(zoe, "--use-device-code", "--profile", "dev")
    assert home.who() == zoe.arn
    held = home.boto3_session().get_credentials().get_frozen_credentials()
    key = Key(held.access_key, held.secret_key, held.token)

    disabled = ("add: pwdAccountLockedTime", "pwdAccountLockedTime: 000001010000Z")
    slapd.modify(dn_of("zoe"), *disabled)

    # The profile's next credentials, the login's refresh, and a new sign-in ask the
    # directory, so none of them waits for the workers' next turn.
    login = home.token
    home.forget_credentials()
    for expires_at, words in (
        (login["expiresAt"], "has expired or is otherwise invalid"),
        ("2020-01-01T00:00:00Z", "Token has expired and refresh failed"),
    ):
        home.keep({**login, "expiresAt": expires_at})
        assert words in home.refuse("sts", "get-caller-identity")
    with httpx.Client(follow_redirects=True) as browser:
        page = zoe.fill_in(browser, f"{broker.url}/portal/{ACCOUNT}")
        assert page.status_code == 403
        assert "Your accounts and roles" not in page.text
    # What the profile already had ends with the first refusal.
    with pytest.raises(ClientError, match="ExpiredToken"):
        call_for_a_minute(broker.client("sts", key))


def test_apply_looks_at_a_new_directory_and_doctor_at_all(
    broker: RunningBroker, tmp_path: Path
) -> None:
    params = {"LDAPProviders": [{"Name": "second", "Directory": "corp"}]}
    path = tmp_path / "second.yaml"
    path.write_text(json.dumps({"Accounts": {"210987654321": params}}))
    done = run_forked(("apply", str(path)), broker.environment)
    assert "+ 210987654321 LDAP provider second" in done.stdout
    assert "✓ directory corp: 1 server can be queried" in done.stderr
    assert "directory corp: 1 server can be queried" in broker.command("doctor")


def test_broker_providers_test_says_what_fails(
    broker: RunningBroker, tmp_path: Path
) -> None:
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    said = broker.command(
        "providers", "test", PROVIDER, "--user", "bob", "--password-file", str(path)
    )
    assert "ok   The password is right" in said
    assert "corp:groups = admins, staff" in said
    assert "may assume arn:aws:iam::123456789012:role/Admin" in said
    assert PASSWORD not in said
