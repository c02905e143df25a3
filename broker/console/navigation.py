"""The console's navigation: which pages there are, in which part of the menu."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A page in the menu; ``name`` is how the page calls itself to the frame."""

    name: str
    path: str
    label: str


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
            Entry("sessions", "/console/sessions", "Sessions"),
        ),
    ),
    Section(
        "Account",
        (Entry("audit", "/console/audit", "Audit log"),),
    ),
)
