"""The console's menu."""

from collections.abc import Collection

from msgspec import Struct
from msgspec.structs import replace


class MenuEntry(Struct, frozen=True):
    """A page in the menu; ``name`` is what the page passes to the frame as ``here``.

    ``icon`` is a symbol of ``static/icons.svg``. The entry is shown to callers who may perform ``action`` on some resource; without
    ``action`` it is shown to everyone.
    """

    name: str
    path: str
    label: str
    icon: str
    action: str = ""


def _entry(name: str, label: str, icon: str, action: str = "") -> MenuEntry:
    return MenuEntry(name, f"/console/{name}", label, icon, action)


class MenuSection(Struct, frozen=True):
    """A group of pages in the menu; a ``folded`` one opens where it is needed."""

    label: str
    entries: tuple[MenuEntry, ...]
    folded: bool = False


SECTIONS = (
    MenuSection(
        "You",
        (
            MenuEntry("home", "/console/", "Home", "house"),
            _entry("permissions", "My permissions", "shield-check"),
            _entry("switch", "Switch role", "arrow-left-right"),
            _entry("security", "Security credentials", "key-round"),
            _entry("sessions", "Sessions", "monitor-smartphone"),
        ),
    ),
    MenuSection(
        "People and access",
        (
            _entry(
                "providers",
                "Identity providers",
                "fingerprint-pattern",
                "iam:ListSAMLProviders",
            ),
            _entry("roles", "Roles", "id-card", "iam:ListRoles"),
            _entry("users", "Users", "user", "iam:ListUsers"),
            _entry("groups", "Groups", "users", "iam:ListGroups"),
            _entry("policies", "Policies", "file-text", "iam:ListPolicies"),
        ),
    ),
    MenuSection(
        "Account",
        (
            _entry("overview", "Overview", "chart-column", "cloudtrail:LookupEvents"),
            MenuEntry(
                "all-sessions",
                "/console/sessions/all",
                "Live sessions",
                "activity",
                "signin:ListSessions",
            ),
            _entry("audit", "Audit log", "scroll-text", "cloudtrail:LookupEvents"),
            _entry("settings", "Account settings", "settings", "iam:GetAccountSummary"),
        ),
    ),
    MenuSection(
        "More",
        (
            _entry("try", "Try it", "flask-conical"),
            _entry("simulator", "Simulator", "gauge", "iam:SimulatePrincipalPolicy"),
            _entry(
                "credential-report",
                "Credential report",
                "clipboard-list",
                "iam:GetCredentialReport",
            ),
            _entry("services", "Services", "plug", "broker:ListServices"),
            _entry(
                "resource-policies",
                "Resource policies",
                "layers",
                "broker:ListResourcePolicies",
            ),
            _entry("invariants", "Invariants", "circle-check", "broker:ListInvariants"),
            _entry("instances", "Instances", "server", "broker:ListInstances"),
            _entry(
                "roles-anywhere",
                "Roles Anywhere",
                "shield-check",
                "rolesanywhere:ListTrustAnchors",
            ),
            _entry("upstreams", "Upstreams", "link", "broker:ListUpstreams"),
        ),
        folded=True,
    ),
)

ACTIONS = frozenset(
    entry.action for section in SECTIONS for entry in section.entries if entry.action
)
"""The actions that the menu depends on."""


def menu(may: Collection[str]) -> tuple[MenuSection, ...]:
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
