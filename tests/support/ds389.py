"""389 Directory Server from Debian.

Its tools make instances in the system's own folders only, so it needs root, and the
instance is removed afterwards.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.servers import find_free_port
from tests.support.slapd import PASSWORD, SERVICE, SERVICE_PASSWORD, SUFFIX, LdapServer

MANAGER = "cn=Directory Manager"
_INSTANCE = "brokertest"
_BASE = f"""
dn: ou=people,{SUFFIX}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{SUFFIX}
objectClass: organizationalUnit
ou: groups

dn: {SERVICE}
objectClass: simpleSecurityObject
objectClass: organizationalRole
cn: broker
userPassword: {SERVICE_PASSWORD}
"""
_RULE = (
    '(targetattr="* || nsUniqueId || nsAccountLock || accountUnlockTime")(version 3.0;'
    f' acl "broker"; allow (read,search,compare) userdn="ldap:///{SERVICE}";)'
)
_ACCESS = ("add: aci", f"aci: {_RULE}")


class Ds389(LdapServer):
    """A running server, in clear text on this computer."""

    runs_as_root = True
    manager = (MANAGER, PASSWORD)


@contextmanager
def start_ds389(folder: Path, *entries: str) -> Iterator[Ds389]:
    """A server with these entries, and the broker's account, which may read."""
    if shutil.which("dscreate") is None or os.geteuid() != 0:
        pytest.skip("Debian's 389-ds-base is not installed, or this is not root")
    port = find_free_port()
    described = folder / "instance.inf"
    lines = [
        *("[general]", "config_version = 2", "full_machine_name = localhost"),
        *("start = False", "strict_host_checking = False", "selinux = False"),
        *(
            "systemd = False",
            "[slapd]",
            f"instance_name = {_INSTANCE}",
            f"port = {port}",
        ),
        *(f"secure_port = {find_free_port()}", f"root_password = {PASSWORD}"),
        *("self_sign_cert = False", "user = root", "group = root"),
        *("[backend-userroot]", f"suffix = {SUFFIX}", "create_suffix_entry = True"),
    ]
    described.write_text("\n".join(lines))
    _run("dscreate", "from-file", str(described))
    config = f"/etc/dirsrv/slapd-{_INSTANCE}"
    command = ["/usr/sbin/ns-slapd", "-D", config, "-d", "0"]
    server = Ds389([*command, "-i", str(folder / "server.pid")], folder, port)
    try:
        server.start()
        server.add(_BASE, *entries)
        server.modify(SUFFIX, *_ACCESS)
        yield server
    finally:
        server.kill()
        _run("dsctl", _INSTANCE, "remove", "--do-it")


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-2000:]
