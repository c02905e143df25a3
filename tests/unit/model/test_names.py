"""How names are compared without regard to case."""

import pytest

from broker.model.names import fold_name, folds_into_ascii


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Alice", "alice"),
        ("ÉLODIE", "e\N{COMBINING ACUTE ACCENT}lodie"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("STRASSE", "straße"),
        ("Å", "\N{ANGSTROM SIGN}"),
    ],
)
def test_two_spellings_are_one_name(one: str, other: str) -> None:
    assert fold_name(one) == fold_name(other)


@pytest.mark.parametrize("name", ["\N{KELVIN SIGN}ate", "\N{LATIN SMALL LETTER LONG S}ue", "Strauß", "a;b\N{GREEK QUESTION MARK}", "\N{LATIN SMALL LIGATURE FI}nn"])  # fmt: skip
def test_what_folds_into_ascii(name: str) -> None:
    assert folds_into_ascii(name)
    assert fold_name(name).isascii()


@pytest.mark.parametrize("name", ["Kate", "", "Élodie", "Åsa", "Σίσυφος", "İpek"])
def test_what_does_not(name: str) -> None:
    assert not folds_into_ascii(name)
