"""Names that are compared without regard to case, in one way everywhere."""

import unicodedata


def fold_name(name: str) -> str:
    """What a name is compared by: its normal form C (NFC), case folded.

    Source: Unicode 16, 3.13, default caseless matching.
    """
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", name).casefold()


def folds_into_ascii(name: str) -> bool:
    """Whether a character that is not ASCII is compared as if it were.

    As the Kelvin sign as ``k``, the long s as ``s``, and ``ß`` as ``ss``: two
    people's names would be one.
    """
    return not name.isascii() and any(
        not character.isascii() and fold_name(character).isascii() for character in name
    )
