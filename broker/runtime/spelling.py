"""Which known name a mistyped one may mean."""

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice

_LIKENESS_MIN = 0.75
_CHARACTERS_MAX = 64
"""Comparing takes the product of two lengths."""

_NAMES_MAX = 500


def find_similar(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like a mistyped one, if one is like it at all."""
    names = {each.lower(): each for each in islice(known, _NAMES_MAX)}
    word = name[:_CHARACTERS_MAX].lower()
    matches = get_close_matches(word, names, n=1, cutoff=_LIKENESS_MIN)
    return names[matches[0]] if matches else None


def suggest(name: str, known: Iterable[str]) -> str:
    """What to say after an unknown name: what was probably meant, or what there is."""
    known = list(known)
    similar = find_similar(name, known)
    if similar is not None:
        return f"did you mean {similar}?"
    return f"use one of {', '.join(known)}"
