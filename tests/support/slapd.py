"""Debian's slapd as a directory, with people, groups and a password policy."""

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.certificates import in_pem
from tests.support.servers import Server, find_free_port, server_folder

SLAPD = "/usr/sbin/slapd"
SUFFIX = "dc=example,dc=com"
PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
SERVICE = f"cn=broker,{SUFFIX}"
SERVICE_PASSWORD = "service-password-of-the-test-run"
PASSWORD = "Correct-horse-7"

_CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload sssvlv
pidfile {folder}/slapd.pid
TLSCertificateFile {folder}/cert.pem
TLSCertificateKeyFile {folder}/key.pem
sizelimit size.soft=500 size.hard=500 size.pr=100 size.prtotal=unlimited
{more}
database mdb
maxsize 16777216
suffix "{suffix}"
rootdn "cn=admin,{suffix}"
rootpw {password}
directory {folder}/db
dbnosync
index objectClass,uid,member,entryUUID eq
access to attrs=userPassword by self write by anonymous auth by * none
access to * by dn.exact="{service}" read by self read by * none
overlay ppolicy
ppolicy_default "cn=default,{suffix}"
ppolicy_use_lockout
"""
_BASE = f"""
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
o: Example

dn: {PEOPLE}
objectClass: organizationalUnit
ou: people

dn: {GROUPS}
objectClass: organizationalUnit
ou: groups

dn: {SERVICE}
objectClass: simpleSecurityObject
objectClass: organizationalRole
cn: broker
userPassword: {SERVICE_PASSWORD}

dn: cn=default,{SUFFIX}
objectClass: device
objectClass: pwdPolicy
cn: default
pwdAttribute: userPassword
pwdLockout: TRUE
pwdLockoutDuration: 3600
pwdMaxFailure: 5
pwdFailureCountInterval: 3600
pwdMustChange: TRUE
pwdGraceAuthNLimit: 0
"""


def person(name: str, *, below: str = PEOPLE, **attributes: str) -> str:
    """An entry as LDIF."""
    params = {
        "uid": name,
        "cn": f"{name.title()} Example",
        "sn": "Example",
        "mail": f"{name}@example.com",
        "userPassword": PASSWORD,
        **attributes,
    }
    lines = [f"dn: {dn_of(name, below=below)}"]
    lines += ["objectClass: inetOrgPerson", "objectClass: shadowAccount"]
    for key, value in params.items():
        encoded = base64.b64encode(value.encode()).decode("ascii")
        lines.append(f"{key}:: {encoded}")
    return "\n".join(lines)


def group(name: str, *members: str) -> str:
    """A group of these names (of entries) as LDIF."""
    lines = [f"dn: cn={name},{GROUPS}", "objectClass: groupOfNames", f"cn: {name}"]
    return "\n".join([*lines, *(f"member: {member}" for member in members)])


def dn_of(name: str, *, below: str = PEOPLE) -> str:
    """The entry's name, every character but letters and digits escaped (RFC 4514)."""
    escaped = "".join(
        character
        if character.isascii() and character.isalnum()
        else "".join(f"\\{byte:02X}" for byte in character.encode())
        for character in name
    )
    return f"uid={escaped},{below}"


class LdapServer(Server):
    """A running directory server, which the manager changes with Debian's tools."""

    manager: tuple[str, str]
    add_options: tuple[str, ...] = ()
    modify_options: tuple[str, ...] = ()

    @property
    def ca_file(self) -> Path:
        return self.folder / "cert.pem"

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    def add(self, *entries: str) -> None:
        """Add entries, written as LDIF."""
        self._change("ldapadd", "\n\n".join(entries), *self.add_options)

    def modify(self, dn: str, *lines: str) -> None:
        """Change an entry: ``replace: …`` and what follows."""
        body = "\n".join([f"dn: {dn}", "changetype: modify", *lines])
        self._change("ldapmodify", body, *self.modify_options)

    def delete(self, dn: str) -> None:
        self._change("ldapdelete", "", dn)

    def run_tool(self, *command: str, given: str = "") -> tuple[int, str]:
        """What the tool ends with, and what it says is wrong."""
        done = subprocess.run(
            [*command, "-x", "-H", self.url],
            input=given.encode(),
            check=False,
            capture_output=True,
            timeout=60,
            env={**os.environ, "LDAPTLS_CACERT": str(self.ca_file)},
        )
        return done.returncode, done.stderr.decode()

    def _change(self, program: str, text: str, *more: str) -> None:
        name, password = self.manager
        code, error = self.run_tool(
            program, "-D", name, "-w", password, *more, given=text
        )
        assert code == 0, error

    def _is_ready(self) -> bool:
        options = ("-LLL", "-o", "nettimeout=1", "-s", "base", "-b", "")
        return self.run_tool("ldapsearch", *options)[0] == 0


class Slapd(LdapServer):
    """A running slapd: plain and StartTLS at ``port``, LDAPS at ``tls_port``."""

    tls_port: int = 0
    manager = (f"cn=admin,{SUFFIX}", PASSWORD)
    # With the control that takes referrals as entries.
    add_options = ("-M",)
    # Operational attributes of the password policy need the relax control.
    modify_options = ("-e", "relax")

    @property
    def urls(self) -> str:
        return f"{self.url}/ ldaps://127.0.0.1:{self.tls_port}/"

    def lock(self, name: str) -> None:
        """Try wrong passwords of a person until their account is locked."""
        for _ in range(6):
            code, error = self.run_tool("ldapwhoami", "-D", dn_of(name), "-w", "wrong")
            assert code == 49, error  # invalidCredentials


@contextmanager
def start_slapd(
    *entries: str, more: str = "", name: str = "localhost"
) -> Iterator[Slapd]:
    """A slapd with these entries in addition to its base, and its own certificate."""
    if shutil.which(SLAPD) is None or shutil.which("ldapadd") is None:
        pytest.skip("Debian's slapd and ldap-utils are not installed")
    with server_folder() as folder:
        certificate, key = tls_certificate(name)
        (folder / "cert.pem").write_text(certificate)
        (folder / "key.pem").write_text(key)
        (folder / "db").mkdir()
        config = folder / "slapd.conf"
        config.write_text(
            _CONFIG.format(
                folder=folder,
                suffix=SUFFIX,
                service=SERVICE,
                password=PASSWORD,
                more=more,
            )
        )
        owner = folder.stat()
        for path in (folder / "db", folder / "cert.pem", folder / "key.pem", config):
            os.chown(path, owner.st_uid, owner.st_gid)
        port, tls_port = find_free_port(), find_free_port()
        urls = f"ldap://127.0.0.1:{port}/ ldaps://127.0.0.1:{tls_port}/"
        server = Slapd([SLAPD, "-d", "0", "-f", str(config), "-h", urls], folder, port)
        server.tls_port = tls_port
        server.start()
        try:
            server.add(_BASE, *entries)
            yield server
        finally:
            server.kill()


def tls_certificate(name: str) -> tuple[str, str]:
    """A self-signed certificate for a host name and 127.0.0.1, and its key, in PEM."""
    start = datetime.now(UTC) - timedelta(days=1)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "localhost":
        names.append(x509.IPAddress(IPv4Address("127.0.0.1")))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return in_pem(made, key)
