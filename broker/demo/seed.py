"""The demo's seed data: an account, providers, roles and users.

The database is marked as the demo's when it is created; one with accounts and without
the mark is not touched.
"""

import configparser
import json
import os
from importlib.resources import files
from pathlib import Path

from msgspec import Struct

from broker.compose.services import Services
from broker.demo.console_password import console_password
from broker.demo.people import ACCOUNT, PORTAL_USER
from broker.kinds.access_keys import create_access_key
from broker.model.entities import KeyStatus
from broker.model.secret import Secret
from broker.proofs.addresses import AddressRules
from broker.stores.directory import kinds
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.kinds import ACCESS_KEY, USER
from broker.stores.installation import DEMO_MARK, read_installation, set_mark
from broker.template.apply import apply_template
from broker.template.section import TemplateContext

CREDENTIALS_FILE = "aws-credentials"
"""The portal's access key, in the AWS CLI's format."""

PORTAL_PROFILE = "demo-portal"
_OPERATOR = "demo"


class ForeignStorageError(Exception):
    """The folder has content that the demo did not create."""


class PortalKey:
    """The long-term key of the demo's custom broker."""

    def __init__(self, access_key_id: str, secret: Secret) -> None:
        self.access_key_id = access_key_id
        self.secret = secret


class SeededAccount(Struct, frozen=True):
    """The secrets that the demo's pages need."""

    portal_key: PortalKey
    password: Secret
    """The password of ``CONSOLE_USER``."""


async def seed(
    services: Services, folder: Path, *, metadata: str, issuer: str
) -> SeededAccount:
    """Mark the database, apply the template, and return access key and password.

    A folder that was seeded before keeps both.

    Raises:
        ForeignStorageError: The database has accounts and is not the demo's.
    """
    await _claim(services, folder)
    settings = services.settings
    text = _template(
        METADATA=json.dumps(metadata),
        ISSUER_HOST=issuer.partition("://")[2],
        ISSUER=issuer,
        ACS=f"{settings.public_origin}/saml",
    )
    await apply_template(
        text,
        directory=services.stores.directory,
        context=TemplateContext(
            is_internal=AddressRules(settings.internal_issuers).names
        ),
        operator=_OPERATOR,
        now=services.clock.now(),
    )
    return SeededAccount(
        portal_key=await _portal_key(services, folder),
        password=await console_password(services, folder),
    )


async def _claim(services: Services, folder: Path) -> None:
    database, now = services.stores.database, services.clock.now()
    installation = await read_installation(database, now=now)
    if installation.marks.get(DEMO_MARK):
        return
    if await list_accounts(services.stores.directory):
        raise ForeignStorageError(
            f"{folder} has an installation that is not the demo's"
        )
    await set_mark(database, DEMO_MARK, value=True, now=now)


def _template(**values: str) -> str:
    text = files("broker.demo").joinpath("account.yaml").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


async def _portal_key(services: Services, folder: Path) -> PortalKey:
    directory, now = services.stores.directory, services.clock.now()
    async with directory.change(ACCOUNT) as change:
        account = await change.find(kinds.ACCOUNT, ACCOUNT)
        user = await change.named(USER, ACCOUNT, PORTAL_USER)
        if account is None or user is None:
            raise ForeignStorageError("someone else is changing the demo's account")
        known = _read_key(folder / CREDENTIALS_FILE)
        for key in await change.all_of(ACCESS_KEY, ACCOUNT, user_id=user.user_id):
            active = key.status is KeyStatus.ACTIVE
            if known and active and key.access_key_id == known.access_key_id:
                return known
            await change.remove(ACCESS_KEY, key)
        made, secret = await create_access_key(
            change, account, user.user_id, sealer=services.vault, now=now
        )
    portal = PortalKey(made.access_key_id, secret)
    _write_key(folder / CREDENTIALS_FILE, portal)
    return portal


def _read_key(path: Path) -> PortalKey | None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(path)
    if not parser.has_section(PORTAL_PROFILE):
        return None
    section = parser[PORTAL_PROFILE]
    return PortalKey(
        section["aws_access_key_id"], Secret(section["aws_secret_access_key"])
    )


def _write_key(path: Path, key: PortalKey) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(
            f"[{PORTAL_PROFILE}]\n"
            f"aws_access_key_id = {key.access_key_id}\n"
            f"aws_secret_access_key = {key.secret.reveal()}\n"
        )
