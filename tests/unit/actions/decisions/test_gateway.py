"""What an enforcement point with its own policies receives."""

from broker.actions.decisions.gateway import DENIED, split


def test_what_could_not_be_judged_is_denied() -> None:
    assert split(None) == DENIED
    assert DENIED.own == "deny"
