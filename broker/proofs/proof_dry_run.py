"""Verifies a proof against one provider and reports every check, for administrators.

It mints nothing and does not use up the proof.
"""

import base64
from datetime import datetime

from msgspec import Struct

from broker.errors import BrokerError, InvalidIdentityToken
from broker.model.entities import OidcProvider, SamlProvider
from broker.model.federated import FederatedIdentity
from broker.proofs.diagnosis import OIDC_STAGES, SAML_STAGES, Check, diagnose
from broker.proofs.federated import SamlProver
from broker.proofs.group_roles import offered_roles
from broker.proofs.web_identity import WebIdentityProver
from broker.protocols.oidc.rejection import OidcRejected
from broker.protocols.oidc.token import parse_token
from broker.protocols.saml.errors import SamlRejected
from broker.protocols.saml.peek import peek_response


class DryRunResult(Struct, frozen=True):
    """The checks and, if all passed, the identity and the roles it may assume."""

    checks: tuple[Check, ...]
    identity: FederatedIdentity | None = None
    role_arns: tuple[str, ...] = ()


class ProofDryRun:
    """Verifies proofs without using them."""

    def __init__(self, federated: SamlProver, web_identity: WebIdentityProver) -> None:
        self._federated = federated
        self._web_identity = web_identity

    async def try_response(
        self, provider: SamlProvider, text: str, now: datetime
    ) -> DryRunResult:
        """Try a SAML response: the posted base64, or the XML itself."""
        text = text.strip()
        if text.startswith("<"):
            text = base64.b64encode(text.encode()).decode("ascii")
        try:
            # Only the browser's sign-in knows the open requests: accept any.
            answered = peek_response(text).in_response_to
        except SamlRejected:
            answered = None
        try:
            identity = await self._federated.prove_for_provider(
                text,
                provider.account,
                provider.arn,
                now,
                frozenset({answered} if answered else ()),
            )
        except BrokerError as error:
            return DryRunResult(diagnose(SAML_STAGES, error))
        roles = tuple(pair.role_arn for pair in identity.role_pairs)
        return DryRunResult(diagnose(SAML_STAGES, None), identity, roles)

    async def try_token(
        self, provider: OidcProvider, text: str, now: datetime
    ) -> DryRunResult:
        """Try a web identity token, for this provider alone."""
        text = text.strip()
        try:
            _require_issuer(text, provider)
            identity = await self._web_identity.prove(
                text, account=provider.account, now=now
            )
        except BrokerError as error:
            return DryRunResult(diagnose(OIDC_STAGES, error))
        roles = offered_roles(identity)
        return DryRunResult(diagnose(OIDC_STAGES, None), identity, roles)


def _require_issuer(text: str, provider: OidcProvider) -> None:
    """Refuse another issuer's token, even if the account trusts that issuer, too."""
    try:
        issuer = parse_token(text).issuer
    except OidcRejected:
        return  # verification will report what is wrong with it
    if issuer != provider.url:
        raise InvalidIdentityToken(
            detail=f"the token is of {issuer:.300}, not of {provider.url}"
        )
