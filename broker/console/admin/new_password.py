"""Passwords made for people: strong, of every class, easy to copy by hand."""

import secrets

LENGTH = 20
_CLASSES = (
    "ABCDEFGHJKLMNPQRSTUVWXYZ",
    "abcdefghijkmnopqrstuvwxyz",
    "23456789",
    "!@#$%^*()_+-=[]{}",
)
"""Without letters and digits that look alike."""


def new_password(least: int = LENGTH) -> str:
    """A password of every class that a password policy may ask for.

    At least ``LENGTH`` characters, 113 bits or more.
    """
    length = max(least, LENGTH)
    every = "".join(_CLASSES)
    while True:
        made = "".join(secrets.choice(every) for _ in range(length))
        if all(any(char in kind for char in made) for kind in _CLASSES):
            return made
