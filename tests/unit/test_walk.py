"""What reads pages for commands reads them right."""

from pathlib import Path

import pytest

from tests.support.rows import rows
from tests.support.walk import Step, Walk, matches, read_steps, walking

PAGE = """# A page

## First

`account.yaml`:

```yaml
Accounts: {}
```

```console
$ export NAME=example
$ echo "account $NAME" \\
    in two lines
account example in two lines
```

## Second

```sh
this is only shown
```

```console
$ cat account.yaml   # the file
Accounts: …
```
"""


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "page.md"
    file.write_text(PAGE)
    return file


def test_commands_outputs_and_files_are_found(page: Path) -> None:
    assert read_steps(page) == [
        Step("page.md:7", file="account.yaml", content="Accounts: {}\n"),
        Step("page.md:11", command="export NAME=example"),
        Step(
            "page.md:11",
            command='echo "account $NAME" \\\n    in two lines',
            expected="account example in two lines",
        ),
        Step(
            "page.md:24",
            command="cat account.yaml   # the file",
            expected="Accounts: …",
        ),
    ]


def test_a_section_can_be_chosen(page: Path) -> None:
    assert len(read_steps(page, "Second")) == 1
    with pytest.raises(ValueError, match="Third"):
        read_steps(page, "Third")


def walk(folder: Path) -> Walk:
    return Walk(folder, {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})


def test_the_steps_are_done_in_one_shell(page: Path, tmp_path: Path) -> None:
    with walking(walk(tmp_path)) as here:
        here.do(read_steps(page))
    assert (tmp_path / "account.yaml").read_text() == "Accounts: {}\n"


@pytest.mark.parametrize(
    ("command", "expected"), [("false", ""), ("echo other", "one"), ("exit 3", "")]
)
def test_the_first_difference_fails(
    tmp_path: Path, command: str, expected: str
) -> None:
    with (
        walking(walk(tmp_path)) as here,
        pytest.raises(AssertionError, match=r"x\.md:1"),
    ):
        here.do([Step("x.md:1", command=command, expected=expected)])


@rows("expected, printed, same")
def test_outputs_are_compared(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same
