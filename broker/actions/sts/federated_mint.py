"""What both unsigned exchanges do once a proof is verified and the trust allows it."""

from collections.abc import Mapping
from typing import Any

from broker.actions.action import Call
from broker.actions.sts.role_mint import RoleMinter, RoleRequest
from broker.actions.sts.roles import find_role
from broker.errors import AccessDenied
from broker.model.federated import FederatedIdentity
from broker.model.session import SessionKind
from broker.sessions.source_identity import require_source_identity
from broker.sessions.tags import SessionTags, require_session_tags
from broker.stores.directory.fresh import FreshDirectory


def identity_tags(identity: FederatedIdentity) -> SessionTags:
    """The tags that an identity provider passes, held to the rules of all tags."""
    return require_session_tags(identity.tags.items(), identity.transitive_keys)


async def mint_federated(
    fresh: FreshDirectory,
    minter: RoleMinter,
    given: Mapping[str, Any],
    call: Call,
    *,
    name: str,
    kind: SessionKind,
    session_name: str,
) -> dict[str, Any]:
    """Mint the session, and answer with the members that both answers have.

    ``name`` is the operation's.

    Raises:
        AccessDenied: the role is gone by now.
    """
    identity = call.federated
    role = await find_role(fresh, given["RoleArn"])
    if role is None:
        raise AccessDenied(f"Not authorized to perform sts:{name}")
    minted, answer = await minter.mint(
        given,
        call,
        RoleRequest(
            kind=kind,
            role=role,
            session_name=session_name,
            tags=identity_tags(identity),
            source_identity=require_source_identity(identity.source_identity),
            identity=identity,
        ),
    )
    return answer | {
        "PackedPolicySize": minted.packed_policy_size,
        "Audience": identity.audience,
    }
