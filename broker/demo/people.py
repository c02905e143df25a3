"""The demo's people, users and workloads, and their roles.

The password of the demo's IAM user, for the page that shows it.

The first password is stored in the folder, readable by its owner only. If the user
already has a password, even one that she chose herself, it is kept.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from broker.compose.services import Services
from broker.kinds.login_profiles import (
    PreparedPassword,
    create_login_profile,
    replace_password,
)
from broker.kinds.passwords import Hashes, Passwords, new_password
from broker.kinds.users import require_user
from broker.model.account import AccountId
from broker.model.arn import iam_arn
from broker.model.secret import Secret
from broker.stores.directory.kinds import LOGIN_PROFILE

ACCOUNT = AccountId("111122223333")
ALIAS = "demo"
SAML_PROVIDER = iam_arn(ACCOUNT, "saml-provider/DemoIdP")
ADMINISTRATOR = iam_arn(ACCOUNT, "role/Administrator")
ANALYST = iam_arn(ACCOUNT, "role/Analyst")
DEPLOY = iam_arn(ACCOUNT, "role/Deploy")
PORTAL_USER = "portal"
CONSOLE_USER = "dana"
CLIENT_ID = "demo-client"


class DemoPerson(Struct, frozen=True, kw_only=True):
    """Someone who signs in with SAML. ``roles`` are role ARNs."""

    key: str
    name: str
    email: str
    about: str
    roles: tuple[str, ...]
    tags: Mapping[str, str] = {}


class Workload(Struct, frozen=True, kw_only=True):
    """A program that authenticates with an ID token."""

    key: str
    name: str
    about: str
    subject: str
    role: str


PEOPLE = (
    DemoPerson(
        key="ana",
        name="Ana Lima",
        email="ana@example.com",
        about="Administrator and analyst: she chooses a role at sign-in.",
        roles=(ADMINISTRATOR, ANALYST),
        tags={"team": "platform"},
    ),
    DemoPerson(
        key="ben",
        name="Ben Okafor",
        email="ben@example.com",
        about="Analyst only: he is signed in directly.",
        roles=(ANALYST,),
        tags={"team": "data"},
    ),
)

WORKLOADS = (
    Workload(
        key="ci",
        name="A deployment job",
        about="A pipeline that exchanges its ID token for the role Deploy.",
        subject="repo:example@123456/shop@456789:ref:refs/heads/main",
        role=DEPLOY,
    ),
)


def find_person(key: str) -> DemoPerson | None:
    """Find a person by key."""
    return next((person for person in PEOPLE if person.key == key), None)


def find_workload(key: str) -> Workload | None:
    """Find a workload by key."""
    return next((workload for workload in WORKLOADS if workload.key == key), None)


PASSWORD_FILE = "console-password"  # noqa: S105  # a file's name


async def console_password(services: Services, folder: Path) -> Secret:
    """Return the password of ``CONSOLE_USER``, who must exist.

    A password is set if the folder has no file or the user has no password.
    """
    directory, now = services.stores.directory, services.clock.now()
    user = await require_user(directory, ACCOUNT, CONSOLE_USER)
    before = await directory.find(LOGIN_PROFILE, ACCOUNT, user.user_id)
    known = _read(folder / PASSWORD_FILE)
    if known is not None and before is not None:
        return known
    password = known or Secret(new_password())
    passwords = Passwords(services.vault)
    # Skips the account's password policy, so that trying one out cannot break the demo.
    hashes = Hashes(await passwords.hash(password.reveal()))
    sealed = passwords.seal(ACCOUNT, user.user_id, hashes)
    prepared = PreparedPassword(user, before, sealed)
    put = create_login_profile if before is None else replace_password
    async with directory.change(ACCOUNT) as change:
        await put(change, prepared, reset_required=False, now=now)
    # Written last: if this fails, the next start sets a new password.
    if known is None:
        _write(folder / PASSWORD_FILE, password)
    return password


def _read(path: Path) -> Secret | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None
    return Secret(text) if text else None


def _write(path: Path, password: Secret) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(password.reveal() + "\n")
