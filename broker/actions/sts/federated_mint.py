"""What both unsigned exchanges do once a proof is verified and the trust allows it."""

from collections.abc import Mapping
from typing import Any

from broker.actions.action import Call
from broker.actions.sts.role_mint import RoleMinter, RoleRequest
from broker.model.federated import FederatedIdentity
from broker.model.lineage import Lineage
from broker.model.session import SessionKind
from broker.sessions.lineage import lineage_of_proof
from broker.sessions.tags import NO_TAGS, SessionTags, require_session_tags


def identity_tags(identity: FederatedIdentity) -> SessionTags:
    """The tags that an identity provider passes, held to the rules of all tags."""
    if not identity.tags and not identity.transitive_keys:
        return NO_TAGS
    return require_session_tags(identity.tags.items(), identity.transitive_keys)


async def mint_federated(
    minter: RoleMinter,
    given: Mapping[str, Any],
    call: Call,
    *,
    kind: SessionKind,
    session_name: str,
    lineage: Lineage | None = None,
) -> dict[str, Any]:
    """Mint the session, and answer with the members that both answers have.

    ``lineage`` is that of a token of the broker's own.
    """
    identity = call.federated
    minted, answer = await minter.mint(
        given,
        call,
        RoleRequest(
            kind=kind,
            role=call.trusted_role,
            session_name=session_name,
            tags=identity_tags(identity),
            source_identity=identity.source_identity,
            identity=identity,
            lineage=lineage or lineage_of_proof(identity),
        ),
    )
    return answer | {
        "PackedPolicySize": minted.packed_policy_size,
        "Audience": identity.audience,
    }
