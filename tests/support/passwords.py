"""Users who sign in with a password, their devices, and the steps of a browser."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx2 as httpx

from broker.kinds import mfa_devices
from broker.kinds.login_profiles import create_login_profile, prepare_password
from broker.kinds.passwords import Passwords
from broker.kinds.root_password import prepare_root_password, set_root_password
from broker.model.entities import InlinePolicy, User
from broker.stores.directory import kinds
from broker.stores.directory.kinds import USER
from broker.stores.directory.policies import put_inline_policy
from tests.support.signin import ACCOUNT, SignInWorld, form_fields
from tests.support.totp import PERIOD, oath_code

PASSWORD = "Correct-horse-7"
ROOT_PASSWORD = "an emergency password, long enough"
SAME = {"sec-fetch-site": "same-origin"}
PAGE = "/signin/example"


@dataclass
class Phone:
    """A virtual device; ``off`` is how many seconds its clock is ahead."""

    serial: str
    seed: str = field(repr=False)
    off: int = 0

    def code(self, world: SignInWorld, steps: int = 0) -> str:
        """What it shows now, or so many steps later."""
        return self.code_at(world.clock.now(), steps)

    def code_at(self, moment: datetime, steps: int = 0) -> str:
        """What it shows at a moment, or so many steps later."""
        at = int(moment.timestamp()) + self.off + steps * PERIOD
        return oath_code(self.seed, at)


async def create_user(
    world: SignInWorld,
    name: str = "ann",
    password: str | None = PASSWORD,
    *,
    policy: str | None = None,
    reset_required: bool = False,
) -> User:
    """An IAM user of `ACCOUNT`."""
    services = world.services
    directory = services.stores.directory
    account = await directory.find(kinds.ACCOUNT, ACCOUNT)
    assert account is not None
    now = world.clock.now()
    user = User(
        account=ACCOUNT,
        user_id=f"AIDA{name.upper():X<17}",
        name=name,
        path="/staff/",
        created_at=now,
        tags={"team": "blue"},
    )
    async with directory.change(ACCOUNT) as change:
        await change.insert(USER, user)
        if policy is not None:
            await put_inline_policy(
                change,
                InlinePolicy(
                    account=ACCOUNT, owner_id=user.user_id, name="own", document=policy
                ),
            )
    if password is not None:
        prepared = await prepare_password(
            Passwords(services.vault), directory, account, user, password
        )
        async with directory.change(ACCOUNT) as change:
            await create_login_profile(
                change, prepared, reset_required=reset_required, now=now
            )
    return user


async def give_device(
    world: SignInWorld, holder: str, name: str = "phone", **options: Any
) -> Phone:
    """Enable a virtual device; its codes from now on are fresh."""
    services = world.services
    now = world.clock.now()
    async with services.stores.directory.change(ACCOUNT) as change:
        account = await change.find(kinds.ACCOUNT, ACCOUNT)
        assert account is not None
        device, seed = await mfa_devices.create_virtual_device(
            change, account, name=name, tags={}, sealer=services.vault, now=now
        )
    phone = Phone(device.serial, seed, **options)
    async with services.stores.directory.change(ACCOUNT) as change:
        await mfa_devices.enable_device(
            change,
            account,
            device,
            holder,
            # At the one ``now``: another period may begin meanwhile.
            (phone.code_at(now, -3), phone.code_at(now, -2)),
            opener=services.vault,
            now=now - timedelta(seconds=2 * PERIOD - phone.off),
        )
    return phone


async def switch_root_on(world: SignInWorld, password: str = ROOT_PASSWORD) -> None:
    services = world.services
    sealed = await prepare_root_password(Passwords(services.vault), ACCOUNT, password)
    async with services.stores.directory.change(ACCOUNT) as change:
        await set_root_password(change, ACCOUNT, sealed, now=world.clock.now())


async def send_password(
    browser: httpx.AsyncClient,
    name: str = "ann",
    password: str = PASSWORD,
    *,
    page: str = PAGE,
    **more: str,
) -> httpx.Response:
    """Load the account's page and send what is typed on it."""
    query = "?kind=root" if more.get("kind") == "root" else ""
    fields = form_fields(await browser.get(page + query), page)
    typed = {"username": name, "password": password, **more}
    return await browser.post(page, data={**fields, **typed}, headers=SAME)


async def send_step(
    browser: httpx.AsyncClient, response: httpx.Response, step: str, **typed: str
) -> httpx.Response:
    """Answer the page of a step."""
    path = f"{PAGE}/{step}"
    fields = form_fields(response, path)
    return await browser.post(path, data={**fields, **typed}, headers=SAME)
