"""LemonLDAP::NG from Debian as an identity provider, with its demo users."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

PORTAL = Path("/usr/share/lemonldap-ng/portal")
MANAGER = Path("/usr/share/lemonldap-ng/manager/htdocs")
DEFAULTS = Path("/var/lib/lemonldap-ng/conf/lmConf-1.json")
AWS = "https://aws.amazon.com/SAML/Attributes/"
_SECONDS = 60


class LemonLdap:
    """Its configuration and its process. Users: dwho, rtyler, msmith."""

    def __init__(self, folder: Path, port: int) -> None:
        if shutil.which("plackup") is None or not DEFAULTS.is_file():
            pytest.skip("Debian's liblemonldap-ng-portal-perl is not installed")
        self.url = f"http://localhost:{port}"
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("conf", "sessions", "persistent"):
            (folder / name).mkdir(parents=True)
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
                *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
                *("-days", "30", "-subj", "/CN=test"),
            ],
            check=True,
            capture_output=True,
        )

    def start(
        self,
        sp_metadata: str = "",
        macros: Mapping[str, str] | None = None,
        clients: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Start (again) with this service provider and these OpenID Connect clients.

        ``macros`` are what it makes up of a person, in Perl; ``clients`` the options
        of each by its client id, the prefix ``oidcRPMetaDataOptions`` left out.
        """
        self.configure(sp_metadata, macros, clients)
        self.restart()

    def restart(self) -> None:
        """Start (again) with the configuration that is there."""
        self.stop()
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("plackup", "--host", "127.0.0.1", "--port", str(self._port)),
                    *("-E", "deployment", "-a", str(PORTAL / "htdocs/index.psgi")),
                ],
                env={"PATH": os.environ["PATH"], **self.environment},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _SECONDS
        while True:
            with suppress(urllib.error.URLError, OSError):
                self.metadata()
                return
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    @property
    def environment(self) -> dict[str, str]:
        """Where its programs find the configuration."""
        return {"LLNG_DEFAULTCONFFILE": str(self._folder / "lemonldap-ng.ini")}

    def metadata(self) -> str:
        with urllib.request.urlopen(f"{self.url}/saml/metadata", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def configure(
        self,
        sp_metadata: str = "",
        macros: Mapping[str, str] | None = None,
        clients: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Write a configuration of its own, see `start`."""
        folder = self._folder
        sessions = {"Directory": str(folder / "sessions")}
        persistent = {"Directory": str(folder / "persistent")}
        conf = json.loads(DEFAULTS.read_text())
        conf |= {
            "portal": f"{self.url}/",
            # For cookies of `localhost`; an older one insists on some domain.
            "domain": "local",
            "securedCookie": 0,
            "requireToken": 0,
            "issuerDBSAMLActivation": 1,
            "samlServicePrivateKeySig": (folder / "key.pem").read_text(),
            "samlServicePublicKeySig": (folder / "cert.pem").read_text(),
            "samlServiceUseCertificateInResponse": 1,
            "samlServiceSignatureMethod": "RSA_SHA256",
            "globalStorageOptions": sessions | {"LockDirectory": sessions["Directory"]},
            "persistentStorageOptions": persistent
            | {"LockDirectory": persistent["Directory"]},
        }
        if sp_metadata:
            conf |= {
                "samlSPMetaDataXML": {"broker": {"samlSPMetaDataXML": sp_metadata}},
                "samlSPMetaDataOptions": {
                    "broker": {
                        "samlSPMetaDataOptionsEnableIDPInitiatedURL": 1,
                        "samlSPMetaDataOptionsSignSSOMessage": 1,
                        "samlSPMetaDataOptionsSignSLOMessage": 1,
                        "samlSPMetaDataOptionsCheckSSOMessageSignature": 1,
                        "samlSPMetaDataOptionsNameIDFormat": "email",
                        "samlSPMetaDataOptionsSignatureMethod": "RSA_SHA256",
                    }
                },
                "samlSPMetaDataExportedAttributes": {
                    "broker": {
                        "brokerrole": f"1;{AWS}Role;uri;",
                        "mail": f"1;{AWS}RoleSessionName;uri;",
                    }
                },
                "samlSPMetaDataMacros": {"broker": dict(macros or {})},
            }
        if clients:
            conf |= {
                "issuerDBOpenIDConnectActivation": 1,
                "oidcServicePrivateKeySig": (folder / "key.pem").read_text(),
                "oidcServicePublicKeySig": (folder / "cert.pem").read_text(),
                "oidcServiceKeyIdSig": "key-1",
                "oidcRPMetaDataOptions": {
                    client_id: {
                        f"oidcRPMetaDataOptions{name}": value
                        for name, value in {
                            "ClientID": client_id,
                            "IDTokenSignAlg": "RS256",
                            "IDTokenForceClaims": 1,
                            "BypassConsent": 1,
                            "UserIDAttr": "uid",
                            **options,
                        }.items()
                    }
                    for client_id, options in clients.items()
                },
                "oidcRPMetaDataExportedVars": {
                    client_id: {
                        "email": "mail",
                        "https://aws.amazon.com/roles": "oidcrole;string;auto",
                    }
                    for client_id in clients
                },
                "oidcRPMetaDataMacros": {
                    client_id: dict(macros or {}) for client_id in clients
                },
            }
        (folder / "conf/lmConf-1.json").write_text(json.dumps(conf))
        (folder / "lemonldap-ng.ini").write_text(
            "[all]\nuseSafeJail = 1\nlogLevel = notice\n"
            f"[configuration]\ntype = File\ndirName = {folder / 'conf'}\n"
            f"[portal]\nstaticPrefix = /static\ntemplateDir = {PORTAL / 'templates'}\n"
            "languages = en\n[handler]\n"
            f"[manager]\nprotection = none\nenabledModules = conf\n"
            f"templateDir = {MANAGER / 'templates'}\n"
        )


@contextmanager
def lemonldap(folder: Path, port: int) -> Iterator[LemonLdap]:
    """Not started yet."""
    server = LemonLdap(folder, port)
    try:
        yield server
    finally:
        server.stop()
