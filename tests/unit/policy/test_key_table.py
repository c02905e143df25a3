"""The page of condition keys says what the engine's table says."""

from pathlib import Path

from broker.policy import CONTEXT_KEYS
from broker.policy.key_table import key_table

PAGE = Path(__file__).parents[3] / "docs" / "condition-keys.md"


def test_the_page_is_written_from_the_table() -> None:
    """When red: python -m broker.policy.key_table > docs/condition-keys.md."""
    assert PAGE.read_text(encoding="utf-8") == key_table()


def test_every_key_is_on_the_page() -> None:
    page = key_table()
    for key in CONTEXT_KEYS.values():
        assert f"| `{key.name}` |" in page
