from pathlib import Path

import pytest

from broker.cli.login_store import write_profile
from broker.errors import ValidationError

EVIL = "credential_process = evil"


@pytest.mark.parametrize("end", ["\n", "\r", "\x0b", "\x1c", "\x85", "\u2028"])
@pytest.mark.parametrize("name", ["default", "work"])
def test_a_value_makes_no_more_than_its_line(
    end: str, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "config"
    given = {"AWS_CONFIG_FILE": str(file)}
    with pytest.raises(ValidationError, match="cannot be written"):
        write_profile(name, given, {"login_session": f"arn:aws:sts::1:x{end}{EVIL}"})
    with pytest.raises(ValidationError, match="cannot be written"):
        write_profile(f"{name}]{end}{EVIL}", given, {"region": "us-east-1"})
    assert not file.exists()


def test_a_linked_configuration_stays_linked(tmp_path: Path) -> None:
    file, link = tmp_path / "dotfiles" / "aws", tmp_path / "config"
    file.parent.mkdir()
    file.write_text("[default]\noutput = json\n")
    link.symlink_to(file)
    write_profile("default", {"AWS_CONFIG_FILE": str(link)}, {"region": "us-east-1"})
    assert link.is_symlink()
    assert file.read_text() == "[default]\nregion = us-east-1\noutput = json\n"
