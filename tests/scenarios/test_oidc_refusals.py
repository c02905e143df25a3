"""A sign-in that a real OpenID Connect provider refuses is explained in the console."""

import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx2 as httpx
import pytest

from tests.support.broker import ACCOUNT
from tests.support.identity_providers import browsing
from tests.support.oidc_world import SECRET, OidcWorld, oidc_world, role_arn, sign_in
from tests.support.rows import cases


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcWorld]:
    with oidc_world(tmp_path_factory.mktemp("broker")) as world:
        yield world


def begun(world: OidcWorld, browser: httpx.Client) -> str:
    """The state of a sign-in that was sent off."""
    sent = browser.get(world.start)
    (state,) = parse_qs(urlsplit(sent.headers["location"]).query)["state"]
    return state


def test_a_wrong_client_secret_is_no_outage(world: OidcWorld) -> None:
    secret = f"ClientSecret={SECRET}"
    world.broker.command("providers", "set", world.provider, f"{secret}-of-before")
    try:
        with browsing() as browser:
            page = sign_in(world, browser, "alice")
    finally:
        world.broker.command("providers", "set", world.provider, secret)
    assert "IDPRejectedClaim" in page
    assert "cannot be reached" not in page
    told = world.broker.command(
        *("audit", "--json", "--action", "signin:ListRolesWithWebIdentity"),
        *("--limit", "1"),
    )
    assert "the token endpoint refused: invalid_client" in told


def test_who_has_no_role_is_on_record_with_the_provider(world: OidcWorld) -> None:
    groups = "GroupRoles={}"
    mapped = {"staff": [role_arn("Staff")], "admins": [role_arn("Admin")]}
    others = {"others": [role_arn("Staff")]}
    world.broker.command(
        "providers", "set", world.provider, groups.format(json.dumps(others))
    )
    try:
        with browsing() as browser:
            page = sign_in(world, browser, "bob")
    finally:
        world.broker.command(
            "providers", "set", world.provider, groups.format(json.dumps(mapped))
        )
    assert "gives you no role here" in page
    record = json.loads(
        world.broker.command(
            *("audit", "--json", "--action", "signin:ListRolesWithWebIdentity"),
            *("--limit", "1"),
        )
    )
    assert (record["account"], record["error_code"]) == (ACCOUNT, "AccessDenied")
    assert record["resources"] == [world.provider]
    assert record["parameters"]["UserName"] == "bob@example.com"


@cases("answer, status, says")
def test_the_record_stands_with_the_provider(
    world: OidcWorld, answer: dict[str, str], status: int, says: str
) -> None:
    with httpx.Client(base_url=world.broker.url, follow_redirects=False) as browser:
        state = begun(world, browser)
        page = browser.get("/signin/oidc/callback", params={"state": state, **answer})
    assert page.status_code == status
    request_id = page.text.partition("Request ID <code>")[2].partition("<")[0]
    lines = world.broker.command(
        "audit", "--json", "--action", "signin:ListRolesWithWebIdentity"
    )
    (record,) = [line for line in lines.splitlines() if request_id in line]
    assert f'"{ACCOUNT}"' in record
    assert ":oidc-provider/" in record
    assert says in record
