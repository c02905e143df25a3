"""What must not be shown."""

import pytest
from rich.pretty import pretty_repr

from broker.model.secret import Confidential, Hidden


class Login(Confidential, frozen=True):
    name: str
    token: Hidden[str | None]


class KeyLogin(Login, frozen=True):
    key: Hidden[bytes]
    place: str


@pytest.mark.parametrize("show", [repr, str, pretty_repr])
def test_hidden_members_are_not_shown(show: type[str]) -> None:
    login = KeyLogin("ann", "hush", b"hush", "here")
    assert show(login) == "KeyLogin(name='ann', place='here')"
