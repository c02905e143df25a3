import configparser
from pathlib import Path

from broker.demo.aws_profiles import (
    ANALYST_PROFILE,
    CONFIG_FILE,
    WORKLOAD_PROFILE,
    write_config,
)


def session_names(folder: Path, key_id: str) -> list[str]:
    write_config(folder, "http://127.0.0.1:8080", key_id)
    parser = configparser.ConfigParser()
    parser.read(folder / CONFIG_FILE)
    return [
        parser[f"profile {profile}"]["role_session_name"]
        for profile in (ANALYST_PROFILE, WORKLOAD_PROFILE)
    ]


def test_credentials_that_the_cli_keeps_are_not_taken_for_another_demos(
    tmp_path: Path,
) -> None:
    """The CLI finds them by the profile's words, role and session name among them."""
    entry = session_names(tmp_path, "AKIAQ3EGSIBKWAAAAAAA")
    other = session_names(tmp_path, "AKIAQ3EGSIBKWBBBBBBB")
    assert entry == session_names(tmp_path, "AKIAQ3EGSIBKWAAAAAAA")
    assert not set(entry) & set(other)
