"""The password of the demo's IAM user, for the page that shows it.

The first password is stored in the folder, readable by its owner only. If the user
already has a password, even one that she chose herself, it is kept.
"""

import os
from pathlib import Path

from broker.compose.services import Services
from broker.demo.people import ACCOUNT, CONSOLE_USER
from broker.kinds.login_profiles import (
    PreparedPassword,
    create_login_profile,
    replace_password,
)
from broker.kinds.passwords import Hashes, Passwords, new_password
from broker.kinds.users import require_user
from broker.model.secret import Secret
from broker.stores.directory.kinds import LOGIN_PROFILE

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
