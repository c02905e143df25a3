"""Debian's slapd and Samba's domain controller, with the people of the rows."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support import samba, slapd
from tests.support.directory_world import describe

GROUP = "staff"
STAFF = "employeeType=staff"
"""What the directory's ``Filter`` wants."""


@dataclass
class Directories:
    """Both, and the file that describes them to the broker."""

    slapd: slapd.Slapd
    samba: samba.Samba | None
    file: Path

    def add_person(self, name: str) -> None:
        """To slapd, in the group."""
        self.slapd.add(slapd.person(name, employeeType="staff"))
        group = f"cn={GROUP},{slapd.GROUPS}"
        self.slapd.modify(group, "add: member", f"member: {slapd.dn_of(name)}")

    def delete(self, name: str) -> None:
        self.slapd.delete(slapd.dn_of(name))

    def stop_matching(self, name: str) -> None:
        """The ``Filter``."""
        lines = ("replace: employeeType", "employeeType: left")
        self.slapd.modify(slapd.dn_of(name), *lines)

    def remove_from_group(self, name: str) -> None:
        group = f"cn={GROUP},{slapd.GROUPS}"
        self.slapd.modify(group, "delete: member", f"member: {slapd.dn_of(name)}")

    def add_account(self, name: str) -> None:
        """To Samba, in the group."""
        assert self.samba is not None
        self.samba.add(samba.account(name))
        group = f"CN={GROUP},{samba.USERS}"
        self.samba.modify(group, "add: member", f"member: CN={name},{samba.USERS}")

    def disable_account(self, name: str) -> None:
        assert self.samba is not None
        control = samba.NORMAL | samba.NEVER_EXPIRES | samba.DISABLED
        lines = ("replace: userAccountControl", f"userAccountControl: {control}")
        self.samba.modify(f"CN={name},{samba.USERS}", *lines)

    def remove_account_from_group(self, name: str) -> None:
        assert self.samba is not None
        group = f"CN={GROUP},{samba.USERS}"
        self.samba.modify(group, "delete: member", f"member: CN={name},{samba.USERS}")


@contextmanager
def running_directories(
    folder: Path, at_api: Sequence[str], *, with_samba: bool
) -> Iterator[Directories]:
    """``at_api`` are the ARNs of providers whose people the STS API may ask for."""
    with ExitStack() as stack:
        server = stack.enter_context(
            slapd.start_slapd(
                slapd.person("first", employeeType="staff"),
                slapd.group(GROUP, slapd.dn_of("first")),
            )
        )
        wanted = f"(&(uid={{username}})({STAFF}))"
        described: dict[str, Any] = {"corp": describe(server, folder, Filter=wanted)}
        controller = None
        if with_samba:
            place = folder / "samba"
            place.mkdir()
            controller = stack.enter_context(
                samba.start_samba(place, samba.group(GROUP))
            )
            secret = folder / "samba-password"
            secret.write_text(samba.PASSWORD)
            described["ad"] = {
                "Kind": "ActiveDirectory",
                "Servers": ["ldaps://localhost"],
                "CaFile": str(controller.ca_file),
                "BindDN": samba.SERVICE,
                "BindPasswordFile": str(secret),
                "Base": samba.SUFFIX,
                "GroupBase": samba.USERS,
                "TimeoutSeconds": 20,
            }
        file = folder / "directories.yaml"
        whole = {"Directories": described, "AssumeRoleWithLDAPIdentity": list(at_api)}
        file.write_text(yaml.safe_dump(whole))
        yield Directories(server, controller, file)
