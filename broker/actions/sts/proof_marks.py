"""What a mint spends of an assertion or a token."""

from broker.actions.action import Call
from broker.model.federated import FederatedIdentity
from broker.sessions.issue import replay_key
from broker.stores.audit_rows import ReplayMark


def proof_marks(
    identity: FederatedIdentity, call: Call
) -> tuple[ReplayMark | None, ReplayMark | None]:
    """The one use of this proof, whatever it opens; and one more, if it may come again."""
    until = identity.usable_until
    if identity.replay_id is None or until is None:
        # A token that may come again; the sign-in that brought it may not.
        return call.mark, None
    door = (call.request.door.value,) if identity.once_per_door else ()
    parts = (*identity.replay_id, *door)

    def mark(*which: str) -> ReplayMark:
        return ReplayMark(
            key=replay_key((*parts, *which)),
            mint_id=call.request.request_id,
            expires_at=until,
        )

    again_until = identity.second_use_until
    may_come_again = again_until is not None and call.now <= again_until
    return mark(), mark("again") if may_come_again else None
