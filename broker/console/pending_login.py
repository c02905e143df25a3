"""How someone signs in, and the verified proof before the session that it opens."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from msgspec import field

from broker.model.secret import Confidential, Hidden
from broker.sessions.ends import OneTimeUse, one_time_use

PROVIDER_LIFE = timedelta(minutes=10)
"""For the user to sign in at their identity provider."""

SIGN_IN_MAX = timedelta(minutes=30)
"""An upper bound on the time from starting an OIDC sign-in to its mint."""


class LoginMethod(StrEnum):
    """The kind of sign-in; the values are stored with sessions and must not change."""

    SAML = "saml"
    OIDC = "oidc"
    FEDERATION = "federation"
    PASSWORD = "password"  # noqa: S105  # a method's name
    LDAP = "ldap"
    SWITCH_ROLE = "switch"
    TERMINAL = "login"
    PORTAL = "portal"


class PendingLogin(Confidential, frozen=True, kw_only=True):
    """A verified proof that has not been exchanged for a console session yet.

    ``session_arn`` is the identity it leads to, used for the confirmation page only.
    ``request_id`` is our AuthnRequest that the assertion ``response`` answers.
    ``token`` is the ID token of our own code flow, ``state`` identifies that flow, and
    ``login`` has the fields of its `ProviderLogin` except the token. ``begun`` is the
    handle of a password sign-in that has passed all its steps. ``offered`` are the
    roles that could have been chosen. A proof that opens the
    ``portal`` instead of a role has the ``provider_arns`` that accepted it;
    ``any_portal`` says that it may be another one that the browser waits for. A person of
    a directory is named by ``provider_arn``, ``provider_id`` and ``subject``; ``state``
    identifies that sign-in.
    """

    door: LoginMethod
    destination: str
    session_arn: str = ""
    response: Hidden[str] = ""
    role_arn: str = ""
    provider_arn: str = ""
    request_id: str = ""
    token: Hidden[str] = ""
    session_name: str = ""
    login: dict[str, Any] = field(default_factory=dict)
    signin_token: Hidden[str] = ""
    issuer: str = ""
    begun: Hidden[str] = ""
    state: Hidden[str] = ""
    offered: tuple[str, ...] = ()
    portal: bool = False
    any_portal: bool = False
    provider_arns: tuple[str, ...] = ()
    provider_id: str = ""
    subject: str = ""

    def use(self, now: datetime) -> OneTimeUse | None:
        """What the sign-in uses up whose proof itself may come again."""
        if self.door not in {LoginMethod.OIDC, LoginMethod.LDAP}:
            return None
        until = now + SIGN_IN_MAX
        return one_time_use(f"{self.door}-sign-in", self.state, until=until)
