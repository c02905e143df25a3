"""A broker whose account ``ACCOUNT`` trusts a directory, and its people's browsers."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import yaml

from broker.model.account import AccountId
from broker.model.entities import LdapProvider, Role
from broker.model.secret import Secret
from broker.proofs.ldap.directories import parse_directories
from broker.proofs.ldap.people import LdapPeople, Person
from broker.stores.directory.kinds import LDAP_PROVIDER, ROLE
from tests.support.signin import (
    ACCOUNT,
    SignInWorld,
    form_fields,
    open_world,
    role_arn,
    text_of,
)
from tests.support.slapd import (
    GROUPS,
    PASSWORD,
    PEOPLE,
    SERVICE,
    SERVICE_PASSWORD,
    Slapd,
)

NAME = "corp"
PROVIDER_ID = "LDAPPCORP"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:ldap-provider/{NAME}"
START = f"/signin/{ACCOUNT}/with/{PROVIDER_ID}"


def describe(server: Slapd, folder: Path, **more: Any) -> dict[str, Any]:
    """A directory as ``BROKER_DIRECTORIES_FILE`` has it."""
    password = folder / "bind-password"
    password.write_text(f"{SERVICE_PASSWORD}\n")
    params: dict[str, Any] = {
        "Kind": "OpenLDAP",
        "Servers": [f"ldaps://localhost:{server.tls_port}"],
        "CaFile": str(server.ca_file),
        "BindDN": SERVICE,
        "BindPasswordFile": str(password),
        "Base": PEOPLE,
        "GroupBase": GROUPS,
        "NestedGroups": True,
        "TimeoutSeconds": 5,
        **more,
    }
    return {name: value for name, value in params.items() if value is not None}


def write_directories(
    folder: Path, at_api: Sequence[str] = (), **directories: Mapping[str, Any]
) -> Path:
    """The file."""
    path = folder / "directories.yaml"
    whole = {"Directories": directories, "AssumeRoleWithLDAPIdentity": list(at_api)}
    path.write_text(yaml.safe_dump(whole))
    return path


def trust(*actions: str, provider: str = PROVIDER, **condition: Any) -> str:
    statement: dict[str, Any] = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": list(actions or ("sts:AssumeRoleWithLDAPIdentity",)),
    }
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


@asynccontextmanager
async def directory_world(
    folder: Path,
    server: Slapd,
    groups: Mapping[str, list[str]],
    *,
    at_api: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    others: Mapping[str, Mapping[str, Any]] | None = None,
    **directory: Any,
) -> AsyncIterator[SignInWorld]:
    """``groups`` are names of roles by group; each role trusts the directory.

    ``others`` are more directories, which no account trusts yet.
    """
    corp = describe(server, folder, **directory)
    path = write_directories(folder, at_api, corp=corp, **(others or {}))
    async with open_world(folder, directories_file=path, **(settings or {})) as world:
        await trust_directory(world, ACCOUNT, groups)
        yield world


async def trust_directory(
    world: SignInWorld, account: AccountId, groups: Mapping[str, list[str]]
) -> None:
    """Register the directory in an account, with a role for each name."""
    now = world.clock.now()
    names = dict.fromkeys(name for each in groups.values() for name in each)
    provider = LdapProvider(
        account=account,
        unique_id=PROVIDER_ID if account == ACCOUNT else f"{PROVIDER_ID}{account}",
        name=NAME,
        directory="corp",
        created_at=now,
        options={
            "SignIn": True,
            "GroupRoles": {
                group: [role_arn(name, account) for name in each]
                for group, each in groups.items()
            },
        },
    )
    async with world.services.stores.directory.change(account) as change:
        await change.insert(LDAP_PROVIDER, provider)
        for number, name in enumerate(names):
            await change.insert(
                ROLE,
                Role(
                    account=account,
                    role_id=f"AROA{account}9{number:04d}",
                    name=name,
                    path="/",
                    trust_policy=trust(provider=provider.arn),
                    created_at=now,
                    max_session_duration_seconds=3600,
                ),
            )


async def send_password(
    browser: httpx.AsyncClient,
    username: str,
    password: str = PASSWORD,
    destination: str = "",
    start: str = START,
) -> httpx.Response:
    """Open the directory's page, fill it in and send it."""
    more = {"Destination": destination} if destination else {}
    page = await browser.get(start, params=more)
    assert page.status_code == 200, page.text
    return await browser.post(
        start,
        data={**form_fields(page, start), "username": username, "password": password},
        headers={"sec-fetch-site": "same-origin"},
    )


async def sign_in(
    browser: httpx.AsyncClient, username: str, password: str = PASSWORD
) -> str:
    """Sign in with the only role; what the console's first page says."""
    sent = await send_password(browser, username, password)
    assert sent.status_code == 303, text_of(sent)
    arrived = await browser.get(sent.headers["location"])
    assert arrived.status_code == 303, text_of(arrived)
    return text_of(await browser.get(arrived.headers["location"]))


@asynccontextmanager
async def people_of(
    given: Mapping[str, Any], folder: Path
) -> AsyncIterator[LdapPeople]:
    """The people of a directory that the operator describes so."""
    file = parse_directories({"Directories": {"corp": dict(given)}}, folder)
    people = LdapPeople("corp", file.directories["corp"])
    try:
        yield people
    finally:
        await people.close()


async def prove(
    people: LdapPeople, username: str = "ann", password: str = PASSWORD
) -> Person:
    return await people.authenticate(username, Secret(password), datetime.now(UTC))
