"""What the portal's clients and pages share: registrations, grants, device requests."""

from dataclasses import dataclass

from broker.actions.portal.clients import Clients
from broker.actions.portal.grants import (
    DeviceRequests,
    PortalGrants,
    portal_grants,
)
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache


@dataclass(frozen=True, slots=True)
class PortalLogins:
    """Where clients register, and what they are given."""

    clients: Clients
    grants: PortalGrants
    devices: DeviceRequests


def portal_logins(cache: Cache, vault: Vault) -> PortalLogins:
    """Those of an installation."""
    return PortalLogins(
        Clients(vault), portal_grants(cache, vault), DeviceRequests(cache, vault)
    )
