"""An assertion or a web identity token among the parameters, as the proof.

Only the named provider in the role's own account counts: its keys, its entity id or
issuer. The verified identity becomes the caller that the role's trust policy is
evaluated for.
"""

from collections.abc import Set as AbstractSet

from broker.errors import BrokerError, InvalidIdentityToken
from broker.model.federated import FederatedIdentity
from broker.model.request import Params, RequestContext
from broker.proofs.claimed_providers import ClaimedProviders
from broker.proofs.federated import SamlProver, account_of_arn, federated_caller
from broker.proofs.saml import ROLE_NOT_LISTED, require_role_pair
from broker.proofs.scheme import ProofRefused, ProofResult, Read
from broker.proofs.web_identity import WebIdentityProver


class AssertionScheme:
    """``PrincipalArn``, ``RoleArn`` and ``SAMLAssertion`` prove the caller.

    ``in_response_to`` are the open requests of the browser that brings the assertion.
    """

    def __init__(
        self,
        prover: SamlProver,
        claimed_providers: ClaimedProviders,
        in_response_to: AbstractSet[str] = frozenset(),
    ) -> None:
        self._prover = prover
        self._claimed_providers = claimed_providers
        self._in_response_to = in_response_to

    def answering(self, request_id: str) -> "AssertionScheme":
        """The scheme for an assertion that answers a SAML request of ours."""
        return AssertionScheme(
            self._prover, self._claimed_providers, frozenset({request_id})
        )

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Read, then prove.

        Raises:
            ValidationError: an ARN is malformed.
            ProofRefused: the assertion is not a proof for this provider and role.
        """
        params = await read()
        try:
            identity = await self._verify(params, request)
        except BrokerError as error:
            claimed = await self._claimed_providers.of_saml_provider(
                params["PrincipalArn"]
            )
            if claimed is None:
                raise
            raise ProofRefused.of(error, claimed) from error
        return proved_by(identity), params

    async def _verify(
        self, params: Params, request: RequestContext
    ) -> FederatedIdentity:
        role_arn, provider_arn = params["RoleArn"], params["PrincipalArn"]
        account = account_of_arn(role_arn, "role/")
        if account_of_arn(provider_arn, "saml-provider/") != account:
            raise InvalidIdentityToken(
                ROLE_NOT_LISTED, detail="role and provider are in different accounts"
            )
        identity = await self._prover.prove_for_provider(
            params["SAMLAssertion"],
            account,
            provider_arn,
            request.now,
            self._in_response_to,
            # Pages for people do not repeat the request id in the message.
            request_id="" if self._in_response_to else request.request_id,
        )
        require_role_pair(identity, role_arn=role_arn, provider_arn=provider_arn)
        return identity


class TokenScheme:
    """``RoleArn`` and ``WebIdentityToken`` prove the caller."""

    def __init__(
        self, prover: WebIdentityProver, claimed_providers: ClaimedProviders
    ) -> None:
        self._prover = prover
        self._claimed_providers = claimed_providers

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Read, then prove.

        Raises:
            ValidationError: the role's ARN is malformed.
            ProofRefused: the token is not a proof for this role.
        """
        params = await read()
        role_arn, token = params["RoleArn"], params["WebIdentityToken"]
        try:
            identity = await self._prover.prove(
                token,
                account=account_of_arn(role_arn, "role/"),
                role_arn=role_arn,
                provider_id=params.get("ProviderId"),
                now=request.now,
            )
        except BrokerError as error:
            claimed = await self._claimed_providers.of_token(role_arn, token)
            if claimed is None:
                raise
            raise ProofRefused.of(error, claimed) from error
        return proved_by(identity), params


def proved_by(identity: FederatedIdentity) -> ProofResult:
    """The caller that a federated identity becomes."""
    return ProofResult(caller=federated_caller(identity), identity=identity)


def refused_person(
    error: BrokerError, identity: FederatedIdentity, name: str = ""
) -> ProofRefused:
    """The refusal of a person whom a provider proved, as ``name`` was given.

    It is recorded where the provider is.
    """
    return ProofRefused(
        error,
        account=identity.account,
        arn=identity.provider_arn,
        provider_id=identity.provider_id,
        caller=federated_caller(identity),
        details={"UserName": name or identity.session_name or identity.subject},
    )
