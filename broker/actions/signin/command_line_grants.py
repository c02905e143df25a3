"""The grants of a command-line login: an authorization code, then refresh tokens.

Source: RFC 9449 5.
"""

from dataclasses import dataclass, field

from broker.sessions.grants import Code, Family, Grants
from broker.sessions.vault import Vault
from broker.stores.cache.port import Cache


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeGrant(Code):
    """A code for a console session."""

    access_key_id: str
    session_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshFamily(Family):
    """A login that can be renewed: its session, and the client's key."""

    thumbprint: str
    access_key_id: str
    session_token: str = field(repr=False)


CommandLineGrants = Grants[CodeGrant, RefreshFamily]


def command_line_grants(cache: Cache, vault: Vault) -> CommandLineGrants:
    """The codes and refresh tokens of ``aws login`` and AWS's login provider."""
    return Grants(cache, vault, "login", code=CodeGrant, family=RefreshFamily)
