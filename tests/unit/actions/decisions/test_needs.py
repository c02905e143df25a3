"""The permission to ask for a registered service."""

from types import SimpleNamespace
from typing import Any, cast

from broker.actions.action import Call
from broker.actions.decisions.authorize import service_needs
from broker.model.principal import Principal
from broker.model.registered import service_arn
from tests.support.decisions import ACCOUNT, HOME

STORE = service_arn(ACCOUNT, "s3")


def test_a_token_is_the_permission_to_ask_and_no_other() -> None:
    """Whatever door it comes through, it derives no signing key."""
    token = Principal.registered_service(HOME, arn=STORE, name="s3", token_id="ASVT")
    caller: Any = SimpleNamespace(principal=token)
    call = cast("Call", SimpleNamespace(caller=caller, account=HOME))
    assert service_needs("s3", call) == ()
    (need,) = service_needs("s3", call, "DeriveSigningKey")
    assert (need.action, need.resource) == ("broker:DeriveSigningKey", STORE)
