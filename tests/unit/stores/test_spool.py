"""Audit records outlive the absence of the database, in a bounded file."""

import fcntl
import os
import resource
import stat
from pathlib import Path

import pytest

from broker.stores.audit_rows import AuditRow
from broker.stores.spool import Spool, SpoolFullError


def make_row(name: str) -> AuditRow:
    return (name, 1, "a", "é\u2028", "", "", "x", "allowed", "", '{"a":"b"}', "change")


def test_rows_are_on_the_disk_in_order_until_they_are_cleared(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    assert spool.is_empty
    assert list(tmp_path.iterdir()) == []
    spool.put([make_row("1"), make_row("2")])
    spool.put([make_row("3")])
    assert not spool.is_empty
    assert spool.rows() == [make_row("1"), make_row("2"), make_row("3")]
    (path,) = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    spool.clear()
    assert spool.rows() == []
    spool.put([make_row("4")])
    assert spool.rows() == [make_row("4")]
    spool.clear()
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_spool_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=200)
    spool.put([make_row("1")])
    with pytest.raises(SpoolFullError):
        spool.put([make_row("2"), make_row("3"), make_row("4")])
    assert spool.rows() == [make_row("1")]
    spool.close()


def test_a_disk_that_fills_up_within_a_row_refuses_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put([make_row("1")])
    (path,) = tmp_path.iterdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system writes what fits, and says so, as on a disk that is nearly full.
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, limits[1]))
    try:
        with pytest.raises(SpoolFullError):
            spool.put([make_row("2")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    spool.put([make_row("3")])
    assert spool.rows() == [make_row("1"), make_row("3")]
    spool.close()


def test_a_file_that_was_taken_over_before_it_was_locked_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def lock(file: int, operation: int) -> None:
        patched.undo()
        Spool(tmp_path).adopt()
        flock(file, operation)

    spool = Spool(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", lock)
        spool.put([make_row("1")])
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size > 0
    assert spool.rows() == [make_row("1")]
    spool.close()


def test_a_spool_whose_file_was_deleted_keeps_what_it_has(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put([make_row("1")])
    next(tmp_path.iterdir()).unlink()
    assert spool.rows() == [make_row("1")]
    spool.clear()
    spool.close()


def test_a_spool_makes_its_folder(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "data" / "spool")
    spool.put([make_row("1")])
    assert spool.rows() == [make_row("1")]
    assert stat.S_IMODE((tmp_path / "data" / "spool").stat().st_mode) == 0o700
    spool.close()


def test_a_spool_whose_folder_cannot_be_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file" / "spool")
    with pytest.raises(SpoolFullError):
        spool.put([make_row("1")])
    assert spool.is_empty


def test_what_a_dead_process_left_is_taken_over_and_a_living_ones_is_not(
    tmp_path: Path,
) -> None:
    dead, living = Spool(tmp_path), Spool(tmp_path)
    dead.put([make_row("dead")])
    living.put([make_row("living")])
    dead.close()
    heir = Spool(tmp_path)
    heir.adopt()
    assert heir.rows() == [make_row("dead")]
    assert living.rows() == [make_row("living")]
    assert len(list(tmp_path.iterdir())) == 2
    heir.close()
    living.close()


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    dead = Spool(tmp_path)
    dead.put([make_row("1")])
    dead.close()
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'["2", 1, "a"')
    heir = Spool(tmp_path)
    heir.adopt()
    assert heir.rows() == [make_row("1")]
    heir.put([make_row("3")])
    assert heir.rows() == [make_row("1"), make_row("3")]
    heir.close()


def test_rows_of_the_version_without_kinds_get_theirs(tmp_path: Path) -> None:
    row = make_row("1")
    old = (*row[:6], "sts:AssumeRoleWithSAML", *row[7:-1])
    dead = Spool(tmp_path)
    dead.put([old])  # type: ignore[list-item]  # what that version wrote
    dead.close()
    heir = Spool(tmp_path)
    heir.adopt()
    assert heir.rows() == [(*old, "sign-in")]
    heir.close()


def test_rows_are_synced_before_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    spool = Spool(tmp_path)
    spool.put([make_row("1")])
    assert len(synced) == 1
    spool.close()
