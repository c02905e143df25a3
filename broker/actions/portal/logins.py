"""What the portal's clients and pages share: registrations, grants, device requests."""

from dataclasses import dataclass

from broker.actions.portal.clients import Clients
from broker.actions.portal.grants import DeviceRequests
from broker.sessions.grants import Grants
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache, HandleStore


@dataclass(frozen=True, slots=True)
class PortalLogins:
    """Where clients register, and what they are given."""

    clients: Clients
    grants: Grants
    devices: DeviceRequests


def portal_logins(cache: Cache, handles: HandleStore, vault: Vault) -> PortalLogins:
    """Those of an installation."""
    return PortalLogins(
        Clients(vault),
        Grants(handles, vault, "portal-login"),
        DeviceRequests(cache, handles, vault),
    )
