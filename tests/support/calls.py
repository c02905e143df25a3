"""Actions performed without a door: with a caller or an identity that is simply told."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.actions.action import Action
from broker.compose.services import Services
from broker.model.federated import FederatedIdentity
from broker.model.request import Door, RawRequest
from broker.model.session import Caller
from broker.proofs.federated_schemes import proved_by
from broker.proofs.scheme import DoorProof, ProofResult
from tests.support.raw import raw_request

RAW = raw_request(method="GET", source_ip="127.0.0.1")


def told(
    caller: Caller | None = None, identity: FederatedIdentity | None = None
) -> DoorProof:
    """A proof that shows just this."""
    assert caller or identity

    async def prove(_now: datetime) -> ProofResult:
        if identity is not None:
            return proved_by(identity)
        assert caller is not None
        return ProofResult(caller=caller)

    return DoorProof(prove)


async def perform(
    services: Services,
    action: Action,
    params: Mapping[str, Any],
    proof: DoorProof | None,
    *,
    door: Door = Door.CONSOLE,
    raw: RawRequest = RAW,
    request_id: str = "test",
) -> Mapping[str, Any]:
    """The action through the real pipeline."""
    request = services.pipeline.receive(raw, request_id, door)
    return await services.pipeline.perform(request, action, lambda: params, proof)
