"""Every operation on a kind answers as the committed table says."""

import difflib

import pytest

from tests.kinds.table import FILE, WRITE, make_table


async def test_the_committed_table_is_what_the_broker_answers() -> None:
    committed, table = FILE.read_text("utf-8"), await make_table()
    if table == committed:
        return
    difference = difflib.unified_diff(
        committed.splitlines(), table.splitlines(), "committed", "now", "", "", 0, ""
    )
    pytest.fail(
        "Answers have changed:\n\n"
        + "\n".join(difference)
        + f"\n\nIf every line is meant, write the table again with\n\n    {WRITE}",
        pytrace=False,
    )
