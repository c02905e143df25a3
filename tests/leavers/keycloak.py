"""Keycloak itself: a realm, a client for each account, and people whom it may end."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.scenarios.test_protected import running
from tests.support.programs import installed
from tests.support.servers import find_free_port

PASSWORD = "change-me"
REALM, GROUP = "example", "staff"
TOKENS_AT = "http://127.0.0.1:7777/callback"
"""A client's own address, where nothing listens."""

_ADMIN = {"username": "admin", "password": "only-a-test"}
_SECONDS = 60


class Keycloak:
    """A running one, and its administrator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(base_url=url, timeout=_SECONDS, trust_env=False)

    @property
    def realm(self) -> str:
        return f"{self.url}/realms/{REALM}"

    def close(self) -> None:
        self._http.close()

    def ask(self, method: str, path: str, **params: Any) -> Any:
        """What the administration answers; it must not refuse."""
        token = self._http.post(
            "/realms/master/protocol/openid-connect/token",
            data={"grant_type": "password", "client_id": "admin-cli", **_ADMIN},
        ).json()["access_token"]
        answer = self._http.request(
            method,
            f"/admin/realms{path}",
            headers={"authorization": f"Bearer {token}"},
            **params,
        )
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def set_up(self) -> None:
        """Make the realm and its group."""
        self.ask("POST", "", json={"realm": REALM, "enabled": True})
        self.ask("POST", f"/{REALM}/groups", json={"name": GROUP})

    def add_client(self, client_id: str, broker: str, logout: str) -> str:
        """Its secret."""
        secret = uuid.uuid4().hex
        mapper = {
            "name": "groups",
            "protocol": "openid-connect",
            "protocolMapper": "oidc-group-membership-mapper",
            "config": {
                "claim.name": "groups",
                "full.path": "false",
                "id.token.claim": "true",
                "access.token.claim": "false",
                "userinfo.token.claim": "false",
            },
        }
        self.ask(
            "POST",
            f"/{REALM}/clients",
            json={
                "clientId": client_id,
                "protocol": "openid-connect",
                "publicClient": False,
                "secret": secret,
                "standardFlowEnabled": True,
                "frontchannelLogout": False,
                "redirectUris": [f"{broker}/signin/oidc/callback", TOKENS_AT],
                "attributes": {
                    "backchannel.logout.url": logout,
                    "backchannel.logout.session.required": "true",
                },
                "protocolMappers": [mapper],
            },
        )
        return secret

    def add_person(self, name: str) -> str:
        """The person's id."""
        self.ask(
            "POST",
            f"/{REALM}/users",
            json={
                "username": name,
                "enabled": True,
                "firstName": "Ann",
                "lastName": "Example",
                "email": f"{name}@example.com",
                "emailVerified": True,
                "credentials": [{"type": "password", "value": PASSWORD}],
                "groups": [f"/{GROUP}"],
            },
        )
        (found,) = self.ask("GET", f"/{REALM}/users", params={"username": name})
        return str(found["id"])

    def disable(self, person: str) -> None:
        self.ask("PUT", f"/{REALM}/users/{person}", json={"enabled": False})

    def delete(self, person: str) -> None:
        self.ask("DELETE", f"/{REALM}/users/{person}")

    def remove_from_group(self, person: str) -> None:
        (group,) = self.ask("GET", f"/{REALM}/users/{person}/groups")
        self.ask("DELETE", f"/{REALM}/users/{person}/groups/{group['id']}")

    def end_sessions(self, person: str) -> None:
        self.ask("POST", f"/{REALM}/users/{person}/logout")


@contextmanager
def running_keycloak(folder: Path) -> Iterator[Keycloak]:
    """The pinned one, in development mode, with a realm."""
    home = folder / "keycloak"
    shutil.copytree(installed("keycloak"), home)
    port = find_free_port()
    made = Keycloak(f"http://127.0.0.1:{port}")
    own = {f"KC_BOOTSTRAP_ADMIN_{name.upper()}": word for name, word in _ADMIN.items()}
    command = [
        *("/usr/bin/env", *(f"{name}={word}" for name, word in own.items())),
        *(str(home / "bin" / "kc.sh"), "start-dev"),
        *("--http-port", str(port), "--http-host", "127.0.0.1"),
    ]

    def answers() -> bool:
        try:
            return httpx.get(f"{made.url}/realms/master", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    with running(command, folder, answers, seconds=1500):
        made.set_up()
        try:
            yield made
        finally:
            made.close()
