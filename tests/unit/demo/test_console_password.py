"""The demo's IAM user and her password, over starts of the same folder."""

import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from broker.compose.services import Services, open_services
from broker.demo.console_password import PASSWORD_FILE
from broker.demo.people import ACCOUNT, CONSOLE_USER
from broker.demo.run import DemoPlace, demo_settings
from broker.demo.saml_signer import DemoSamlSigner
from broker.demo.seed import seed
from broker.kinds.login_profiles import (
    PasswordState,
    prepare_password,
    replace_password,
    verify_password,
)
from broker.kinds.passwords import Passwords
from broker.kinds.users import require_user
from broker.runtime.clock import SystemClock
from broker.stores.directory import kinds
from broker.stores.directory.kinds import LOGIN_PROFILE
from tests.support.tables import lay_tables

NEW = "Another-horse-8"


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[tuple[Services, str]]:
    """The services of a demo's start, and the password that its page shows."""
    place, clock = DemoPlace(folder, 8080), SystemClock()
    saml = DemoSamlSigner.open(
        folder,
        entity_id=f"{place.idp_origin}/saml/metadata",
        sso_url=f"{place.idp_origin}/saml/sso",
        now=clock.now(),
    )
    settings = demo_settings(place)
    lay_tables(settings)
    async with open_services(settings, clock) as services:
        seeded = await seed(
            services, folder, metadata=saml.metadata(), issuer=place.idp_origin
        )
        yield services, seeded.password.reveal()


async def state_of(services: Services, password: str) -> PasswordState | None:
    """What a password is good for; None if it is not hers."""
    directory = services.stores.directory
    verified = await verify_password(
        Passwords(services.vault),
        directory,
        await directory.find(kinds.ACCOUNT, ACCOUNT),
        CONSOLE_USER,
        password,
        now=services.clock.now(),
    )
    return None if verified is None else verified.state


async def choose(services: Services, password: str) -> None:
    """What the page of one's own password does."""
    directory = services.stores.directory
    account = await directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    user = await require_user(directory, ACCOUNT, CONSOLE_USER)
    prepared = await prepare_password(
        Passwords(services.vault), directory, account, user, password
    )
    async with directory.change(ACCOUNT) as change:
        await replace_password(
            change, prepared, reset_required=False, now=services.clock.now()
        )


async def test_the_password_signs_in_and_nothing_is_asked_for_first(
    tmp_path: Path,
) -> None:
    async with started(tmp_path) as (services, password):
        assert await state_of(services, password) is PasswordState.GOOD
    file = tmp_path / PASSWORD_FILE
    assert file.read_text() == password + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_every_folder_has_its_own_password_and_keeps_it(tmp_path: Path) -> None:
    first, other = tmp_path / "first", tmp_path / "other"
    first.mkdir()
    other.mkdir()
    async with started(first) as (_, password):
        pass
    async with started(first) as (services, again):
        assert again == password
        assert await state_of(services, password) is PasswordState.GOOD
    async with started(other) as (services, another):
        assert another != password
        assert await state_of(services, password) is None


async def test_a_password_that_she_chose_is_not_taken_from_her(tmp_path: Path) -> None:
    async with started(tmp_path) as (services, password):
        await choose(services, NEW)
    async with started(tmp_path) as (services, text):
        assert text == password
        assert await state_of(services, NEW) is PasswordState.GOOD


async def test_without_the_file_there_is_a_new_password(tmp_path: Path) -> None:
    async with started(tmp_path) as (services, password):
        await choose(services, NEW)
    (tmp_path / PASSWORD_FILE).unlink()
    async with started(tmp_path) as (services, text):
        assert text != password
        assert await state_of(services, text) is PasswordState.GOOD
        assert await state_of(services, NEW) is None


async def test_a_password_that_was_taken_away_comes_back(tmp_path: Path) -> None:
    async with started(tmp_path) as (services, password):
        directory = services.stores.directory
        user = await require_user(directory, ACCOUNT, CONSOLE_USER)
        async with directory.change(ACCOUNT) as change:
            profile = await change.find(LOGIN_PROFILE, ACCOUNT, user.user_id)
            assert profile is not None
            await change.remove(LOGIN_PROFILE, profile)
        assert await state_of(services, password) is None
    async with started(tmp_path) as (services, text):
        assert text == password
        assert await state_of(services, text) is PasswordState.GOOD
