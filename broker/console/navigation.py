"""The console's navigation: which pages there are, in which part of the menu."""

from collections.abc import Collection
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the menu; ``name`` is how the page calls itself to the frame.

    ``action`` is what somebody must be allowed to do, on some resource, for the page
    to be of use to them; without it the page is for everybody.
    """

    name: str
    path: str
    label: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """Pages that belong together."""

    label: str
    entries: tuple[Entry, ...]


SECTIONS = (
    Section(
        "You",
        (
            Entry("home", "/console/", "Home"),
            Entry("permissions", "/console/permissions", "What may I do"),
            Entry("try", "/console/try", "Try it"),
            Entry("switch", "/console/switch", "Switch role"),
            Entry("accounts", "/console/accounts", "Accounts"),
            Entry("security", "/console/security", "Security credentials"),
            Entry("sessions", "/console/sessions", "Sessions"),
        ),
    ),
    Section(
        "Access",
        (
            Entry("users", "/console/users", "Users", "iam:ListUsers"),
            Entry("groups", "/console/groups", "Groups", "iam:ListGroups"),
            Entry("roles", "/console/roles", "Roles", "iam:ListRoles"),
            Entry("policies", "/console/policies", "Policies", "iam:ListPolicies"),
            Entry(
                "simulator",
                "/console/simulator",
                "Simulator",
                "iam:SimulatePrincipalPolicy",
            ),
            Entry(
                "providers",
                "/console/providers",
                "Identity providers",
                "iam:ListSAMLProviders",
            ),
        ),
    ),
    Section(
        "Account",
        (
            Entry(
                "all-sessions",
                "/console/sessions/all",
                "Live sessions",
                "signin:ListSessions",
            ),
            Entry("audit", "/console/audit", "Audit log", "cloudtrail:LookupEvents"),
            Entry(
                "credential-report",
                "/console/credential-report",
                "Credential report",
                "iam:GetCredentialReport",
            ),
            Entry(
                "settings",
                "/console/settings",
                "Account settings",
                "iam:GetAccountSummary",
            ),
        ),
    ),
)

ACTIONS = frozenset(
    entry.action for section in SECTIONS for entry in section.entries if entry.action
)
"""All that the menu asks about."""


def menu(may: Collection[str]) -> tuple[Section, ...]:
    """The navigation of somebody who may do these of `ACTIONS`."""
    sections = (
        replace(
            section,
            entries=tuple(
                entry
                for entry in section.entries
                if not entry.action or entry.action in may
            ),
        )
        for section in SECTIONS
    )
    return tuple(section for section in sections if section.entries)
