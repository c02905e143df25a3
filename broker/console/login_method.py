"""How a user signed in to the console."""

from enum import StrEnum


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
