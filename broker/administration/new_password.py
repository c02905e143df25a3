"""Generated passwords: strong, of every character class, without lookalikes."""

import secrets

LENGTH = 20
_CLASSES = (
    "ABCDEFGHJKLMNPQRSTUVWXYZ",
    "abcdefghijkmnopqrstuvwxyz",
    "23456789",
    "!@#$%^*()_+-=[]{}",
)
"""Character classes, without letters and digits that look alike."""


def new_password(least: int = LENGTH) -> str:
    """Generate a password with every character class that a policy can require.

    It has at least ``LENGTH`` characters, which is 113 bits of entropy or more.
    """
    length = max(least, LENGTH)
    alphabet = "".join(_CLASSES)
    while True:
        password = "".join(secrets.choice(alphabet) for _ in range(length))
        if all(any(char in kind for char in password) for kind in _CLASSES):
            return password
