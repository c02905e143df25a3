"""The findings of ``broker doctor``."""

from enum import StrEnum

from msgspec import Struct


class Level(StrEnum):
    """A finding's severity."""

    GOOD = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(Struct, frozen=True):
    """The result of one check. ``remedy`` says what to do about it."""

    level: Level
    subject: str
    text: str
    remedy: str = ""

    @property
    def kind(self) -> tuple[Level, str, str]:
        """What it has in common with the same finding about another subject."""
        remedy = self.remedy
        for name in self.subject.split():
            remedy = remedy.replace(name, "")
        return self.level, self.text, remedy


def good(subject: str, text: str) -> Finding:
    """A check that passed."""
    return Finding(Level.GOOD, subject, text)


def warning(subject: str, text: str, remedy: str) -> Finding:
    """Something that works but should be changed."""
    return Finding(Level.WARNING, subject, text, remedy)


def problem(subject: str, text: str, remedy: str) -> Finding:
    """Something that does not work."""
    return Finding(Level.PROBLEM, subject, text, remedy)
