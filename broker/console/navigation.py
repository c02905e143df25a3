"""The console's menu."""

from collections.abc import Collection
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the menu; ``name`` is what the page passes to the frame as ``here``.

    ``icon`` is a symbol of ``static/icons.svg``. The entry is shown to callers who may perform ``action`` on some resource; without
    ``action`` it is shown to everyone.
    """

    name: str
    path: str
    label: str
    icon: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A group of pages in the menu."""

    label: str
    entries: tuple[Entry, ...]


SECTIONS = (
    Section(
        "You",
        (
            Entry("home", "/console/", "Home", "house"),
            Entry(
                "permissions", "/console/permissions", "My permissions", "shield-check"
            ),
            Entry("try", "/console/try", "Try it", "flask-conical"),
            Entry("switch", "/console/switch", "Switch role", "arrow-left-right"),
            Entry("accounts", "/console/accounts", "Accounts", "building-2"),
            Entry("security", "/console/security", "Security credentials", "key-round"),
            Entry("sessions", "/console/sessions", "Sessions", "monitor-smartphone"),
        ),
    ),
    Section(
        "Access",
        (
            Entry("users", "/console/users", "Users", "user", "iam:ListUsers"),
            Entry("groups", "/console/groups", "Groups", "users", "iam:ListGroups"),
            Entry("roles", "/console/roles", "Roles", "id-card", "iam:ListRoles"),
            Entry(
                "policies",
                "/console/policies",
                "Policies",
                "file-text",
                "iam:ListPolicies",
            ),
            Entry(
                "simulator",
                "/console/simulator",
                "Simulator",
                "gauge",
                "iam:SimulatePrincipalPolicy",
            ),
            Entry(
                "instances",
                "/console/instances",
                "Instances",
                "server",
                "broker:ListInstances",
            ),
            Entry(
                "services",
                "/console/services",
                "Services",
                "plug",
                "broker:ListServices",
            ),
            Entry(
                "resource-policies",
                "/console/resource-policies",
                "Resource policies",
                "layers",
                "broker:ListResourcePolicies",
            ),
            Entry(
                "upstreams",
                "/console/upstreams",
                "Upstreams",
                "link",
                "broker:ListUpstreams",
            ),
            Entry(
                "roles-anywhere",
                "/console/roles-anywhere",
                "Roles Anywhere",
                "shield-check",
                "rolesanywhere:ListTrustAnchors",
            ),
            Entry(
                "providers",
                "/console/providers",
                "Identity providers",
                "fingerprint-pattern",
                "iam:ListSAMLProviders",
            ),
        ),
    ),
    Section(
        "Account",
        (
            Entry(
                "overview",
                "/console/overview",
                "Overview",
                "chart-column",
                "cloudtrail:LookupEvents",
            ),
            Entry(
                "all-sessions",
                "/console/sessions/all",
                "Live sessions",
                "activity",
                "signin:ListSessions",
            ),
            Entry(
                "audit",
                "/console/audit",
                "Audit log",
                "scroll-text",
                "cloudtrail:LookupEvents",
            ),
            Entry(
                "credential-report",
                "/console/credential-report",
                "Credential report",
                "clipboard-list",
                "iam:GetCredentialReport",
            ),
            Entry(
                "settings",
                "/console/settings",
                "Account settings",
                "settings",
                "iam:GetAccountSummary",
            ),
        ),
    ),
)

ACTIONS = frozenset(
    entry.action for section in SECTIONS for entry in section.entries if entry.action
)
"""The actions that the menu depends on."""


def menu(may: Collection[str]) -> tuple[Section, ...]:
    """The menu of a caller who may perform these of `ACTIONS`."""
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
