"""Decides whether the person of a verified proof may use it here.

What a person's identity provider issued before they were revoked opens nothing more; a
person who is barred is refused whatever was issued; and a provider's directory may say
that the person has left (`broker.proofs.scim`). Every scheme asks here, last of all.
"""

from datetime import UTC, datetime

from msgspec.structs import replace

from broker.errors import ExpiredFederationToken, IdpRejectedClaim
from broker.model.federated import FederatedIdentity
from broker.model.lineage import subject_digest
from broker.model.principal import PrincipalType
from broker.model.revocation import BARRED_MS
from broker.proofs.provider_options import ScimOptions
from broker.proofs.scim import admit_person
from broker.sessions.lineage import find_proof_end, subject_target
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.readings import FreshDirectory

REVOKED = "revoked: "
"""How the detail of a refusal begins because of a revocation."""

_BARRED = "You are barred from signing in here."
_OVER = (
    "The web identity token that was passed is expired or is not valid. Get a new"
    " identity token from the identity provider and then retry the request."
)
_EXPIRED = {
    PrincipalType.SAML: "Response has expired",
    PrincipalType.SERVICE: "Certificate revoked.",
}
_AGAIN = (
    "Your sign-in was ended after your identity provider had issued this. Sign in there"
    " again; if that was just now, try again in a second."
)


class Admission:
    """Asks what is revoked, and whom a provider's directory provisioned."""

    def __init__(self, fresh: FreshDirectory) -> None:
        self._fresh = fresh

    async def admit(
        self, identity: FederatedIdentity, options: ScimOptions | None, now: datetime
    ) -> FederatedIdentity:
        """The identity, with what the directory knows of the person.

        Raises:
            IdpRejectedClaim: the directory says that they may not, or they are barred.
            ExpiredFederationToken: the proof was issued before its person was revoked.
            StoreUnavailableError: the directory of the broker is away.
        """
        if options is not None:
            identity = await admit_person(self._fresh, identity, options, now)
        end = await find_proof_end(identity, now, self._fresh)
        if end is None:
            return identity
        target, mark_ms = end
        if mark_ms >= BARRED_MS:
            raise IdpRejectedClaim(
                _BARRED,
                detail=f"{REVOKED}{identity.subject!r:.200} of {identity.issuer:.200} is"
                " barred",
                advice="Ask the operator, who can lift it.",
            )
        # What a person proves without a proof of another's, such as a password, is new.
        if identity.issued_at is not None:
            raise _issued_before(identity, identity.issued_at, target, mark_ms)
        return identity

    async def without_lost_roles(
        self, identity: FederatedIdentity
    ) -> FederatedIdentity:
        """The identity without the roles that its person lost after the proof was issued.

        Raises:
            StoreUnavailableError: the directory of the broker is away.
        """
        account, issued_at = identity.account, identity.issued_at
        lost = (await self._fresh.revocations(account)).roles
        if not lost or issued_at is None:
            return identity
        person = subject_target(subject_digest(identity.issuer, identity.subject))
        issued_ms = int(issued_at.timestamp() * 1000)
        roles = [
            await self._fresh.find(ROLE, account, role_id)
            for role_id, until_ms in lost.get(person, {}).items()
            if issued_ms < until_ms
        ]
        arns = {role.arn for role in roles if role is not None}
        return replace(
            identity,
            group_roles=tuple(arn for arn in identity.group_roles if arn not in arns),
            closed_roles=identity.closed_roles | arns,
        )


def _issued_before(
    identity: FederatedIdentity, issued_at: datetime, target: str, mark_ms: int
) -> ExpiredFederationToken:
    text = _EXPIRED.get(identity.principal.type, _OVER)
    until = datetime.fromtimestamp(mark_ms / 1000, UTC)
    what = target.partition("/")[0]
    return ExpiredFederationToken(
        text,
        detail=f"{REVOKED}it was issued at {issued_at.isoformat()}, and what was issued to"
        f" this {what} before {until.isoformat()} opens nothing any more",
        advice=_AGAIN,
    )
