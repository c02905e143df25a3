"""The password of the demo's IAM user, for the page that shows it.

The first one is kept in the folder, for its owner's eyes only. A user who has a
password already keeps it, also one that she chose herself.
"""

import os
from pathlib import Path

from broker.console.admin.new_password import new_password
from broker.demo.people import ACCOUNT, CONSOLE_USER
from broker.identities.login_profiles import PreparedPassword, create_login_profile
from broker.identities.login_profiles import replace_password as put_in_force
from broker.identities.passwords import Hashes, Passwords
from broker.identities.users import require_user
from broker.model.secret import Secret
from broker.services import Services

PASSWORD_FILE = "console-password"  # noqa: S105  # a file's name


async def console_password(services: Services, folder: Path) -> Secret:
    """The password of ``CONSOLE_USER``, whom the account has already.

    Without the folder's file, or without a password of the user, one is put in force.
    """
    directory, now = services.stores.directory, services.clock.now()
    user = await require_user(directory, ACCOUNT, CONSOLE_USER)
    before = await directory.find_login_profile(ACCOUNT, user.user_id)
    known = _read(folder / PASSWORD_FILE)
    if known is not None and before is not None:
        return known
    password = known or Secret(new_password())
    passwords = Passwords(services.vault)
    # Not held against the account's policy: whoever tries one out can start again.
    hashes = Hashes(await passwords.hash(password.reveal()))
    sealed = passwords.seal(ACCOUNT, user.user_id, hashes)
    prepared = PreparedPassword(user, before, sealed)
    put = create_login_profile if before is None else put_in_force
    async with directory.change(ACCOUNT) as change:
        await put(change, prepared, reset_required=False, now=now)
    # Afterwards: if this does not happen any more, the next start does it all again.
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
