"""Samba from Debian as a real Active Directory domain controller.

It listens on the ports 389 and 636 of this computer, which it cannot be told to change,
so there is one at a time and it needs root.
"""

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.slapd import LdapServer, tls_certificate

SUFFIX = "DC=corp,DC=example,DC=com"
USERS = f"CN=Users,{SUFFIX}"
ADMINISTRATOR = f"CN=Administrator,{USERS}"
ADMINISTRATORS_PASSWORD = "Passw0rd-Admin-7"
PASSWORD = "Correct-horse-7"
SERVICE = f"CN=broker,{USERS}"
LOCKS_AFTER = 3

NORMAL, DISABLED, NEVER_EXPIRES = 0x200, 0x2, 0x10000
_STARTS_SECONDS = 120


def account(
    name: str, *, control: int = NORMAL | NEVER_EXPIRES, **attributes: str
) -> str:
    """A user with `PASSWORD`, as LDIF."""
    secret = base64.b64encode(f'"{PASSWORD}"'.encode("utf-16-le")).decode("ascii")
    params = {
        "sAMAccountName": name,
        "userPrincipalName": f"{name}@corp.example.com",
        "mail": f"{name}@example.com",
        "userAccountControl": str(control),
        **attributes,
    }
    lines = [f"dn: CN={name},{USERS}", "objectClass: user", f"unicodePwd:: {secret}"]
    return "\n".join([*lines, *(f"{key}: {value}" for key, value in params.items())])


def group(name: str, *members: str) -> str:
    """A group of entries below ``USERS``, by their names, as LDIF."""
    lines = [f"dn: CN={name},{USERS}", "objectClass: group", f"sAMAccountName: {name}"]
    return "\n".join([*lines, *(f"member: CN={member},{USERS}" for member in members)])


class Samba(LdapServer):
    """A running domain controller; its ports and its database are root's."""

    runs_as_root = True
    manager = (ADMINISTRATOR, ADMINISTRATORS_PASSWORD)

    @property
    def url(self) -> str:
        return "ldaps://127.0.0.1"


@contextmanager
def start_samba(folder: Path, *entries: str) -> Iterator[Samba]:
    """A new domain with these entries and the broker's account."""
    if shutil.which("samba") is None or os.geteuid() != 0:
        pytest.skip("Debian's samba-ad-dc is not installed, or this is not root")
    certificate, key = tls_certificate("localhost")
    (folder / "cert.pem").write_text(certificate)
    (folder / "key.pem").write_text(key)
    (folder / "key.pem").chmod(0o600)
    options = {
        "interfaces": "lo",
        "bind interfaces only": "yes",
        "server services": "ldap",
        "tls certfile": folder / "cert.pem",
        "tls keyfile": folder / "key.pem",
        "tls cafile": folder / "cert.pem",
        "log file": folder / "samba.log",
        "pid directory": folder,
        "ncalrpc dir": folder / "ncalrpc",
    }
    _run(
        *("samba-tool", "domain", "provision", "--realm=CORP.EXAMPLE.COM"),
        *("--domain=CORP", "--server-role=dc", "--dns-backend=NONE", "--use-rfc2307"),
        f"--adminpass={ADMINISTRATORS_PASSWORD}",
        f"--targetdir={folder}",
        *(f"--option={name}={value}" for name, value in options.items()),
    )
    config = folder / "etc" / "smb.conf"
    _run(
        *("samba-tool", "domain", "passwordsettings", "set"),
        f"--account-lockout-threshold={LOCKS_AFTER}",
        *("-H", str(folder / "private" / "sam.ldb"), f"--configfile={config}"),
    )
    command = ["samba", "--foreground", "--no-process-group", "-M", "single"]
    server = Samba([*command, f"--configfile={config}"], folder, 389)
    server.start()
    try:
        server.add(account("broker"), *entries)
        yield server
    finally:
        server.kill()


def _run(*command: str) -> None:
    done = subprocess.run(
        command, capture_output=True, check=False, timeout=_STARTS_SECONDS
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
