"""Files that are read and written whole."""

from pathlib import Path

import pytest

from broker.agent.private_files import is_private, read_text, stamp_of, write_private


def test_a_text_is_read_without_white_space_around_it(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\n a b \r\n")
    assert read_text(path) == "a b"
    path.write_bytes(b"x" * 65_536)
    assert len(read_text(path)) == 65_536


@pytest.mark.parametrize("raw", [b"", b" \n", b"x" * 65_537, b"\xff"])
def test_anything_but_a_short_text_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(raw)
    with pytest.raises(ValueError):  # noqa: PT011  # that of Unicode has words of its own
        read_text(path)


def test_a_file_is_replaced_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("old")
    path.chmod(0o644)
    before = stamp_of(path)
    assert not is_private(path)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert is_private(path)
    assert stamp_of(path) not in {before, None}
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.mkdir()
    with pytest.raises(OSError, match="state"):
        write_private(path, "secret")
    assert list(tmp_path.iterdir()) == [path]
    assert stamp_of(tmp_path / "no") is None
