"""How machines prove themselves, once they are registered: with their own key.

A machine's proof is a JSON Web Token that it signs with its Ed25519 key (RFC 7523, 3;
RFC 8037): ``iss`` and ``sub`` are its ARN, ``aud`` is ``broker:`` and the action, ``iat``
is now and ``jti`` is random. It is good for this one action, for five minutes, and where
it leads to credentials, once.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from broker.errors import (
    BrokerError,
    InvalidClientTokenId,
    SignatureDoesNotMatch,
    ValidationError,
)
from broker.kinds.instances import parse_instance_arn
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn
from broker.model.machines import Instance
from broker.model.principal import EC2, Principal
from broker.model.request import Params, RequestContext
from broker.model.session import Caller
from broker.proofs.federated import federated_caller
from broker.proofs.scheme import ProofRefused, ProofResult, Read
from broker.proofs.web_identity import WebIdentityProver
from broker.sessions.ends import one_time_use
from broker.stores.directory.kinds import INSTANCE
from broker.stores.directory.readings import FreshDirectory

WINDOW = timedelta(minutes=5)
"""How far a proof's time may be from the broker's; as for signed requests."""

_ALGORITHM = "EdDSA"
_JTI_CHARACTERS = range(16, 65)
_PROFILE = "instance-profile/"

_NOT_SIGNED = "The instance proof is not valid: sign it with the instance's own key."


class InstanceScheme:
    """``InstanceArn`` and ``InstanceProof`` prove a registered machine."""

    def __init__(self, fresh: FreshDirectory) -> None:
        self._fresh = fresh

    async def prove(
        self, request: RequestContext, service: str, action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Read, then prove.

        Raises:
            ValidationError: the ARN is malformed.
            InvalidClientTokenId: there is no such machine (any more).
            ProofRefused: it did not sign this.
            StoreUnavailableError: the directory is away.
        """
        params = await read()
        account, instance_id = parse_instance_arn(params["InstanceArn"])
        instance = await self._fresh.find(INSTANCE, account, instance_id)
        if instance is None or instance.arn != params["InstanceArn"]:
            raise InvalidClientTokenId(detail=f"there is no instance {instance_id}")
        try:
            nonce = _verify(
                params["InstanceProof"], instance, f"{service}:{action}", request.now
            )
        except BrokerError as error:
            raise ProofRefused(
                error, account=instance.account, arn=instance.arn
            ) from error
        caller = Caller(
            principal=Principal.aws_service(
                instance.account,
                service=EC2,
                arn=instance.arn,
                name=instance.instance_id,
            ),
            # Its key's name: what it was last used for is noted under it.
            access_key_id=instance.instance_id,
        )
        use = one_time_use(
            "instance-proof", instance.arn, nonce, until=request.now + 2 * WINDOW
        )
        return ProofResult(caller=caller, one_time_use=use), params


class MachineTokenScheme:
    """``WebIdentityToken`` proves the caller in the instance profile's account."""

    def __init__(self, prover: WebIdentityProver) -> None:
        self._prover = prover

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Read, then prove.

        Raises:
            ValidationError: ``InstanceProfileArn`` is malformed.
            InvalidIdentityToken, ExpiredFederationToken: the token is not valid here.
            IdpCommunicationError: the issuer's keys cannot be fetched; try again.
        """
        params = await read()
        identity = await self._prover.prove(
            params["WebIdentityToken"],
            account=_account_of_profile(params["InstanceProfileArn"]),
            now=request.now,
        )
        return ProofResult(caller=federated_caller(identity), identity=identity), params


def _verify(proof: str, instance: Instance, audience: str, now: datetime) -> str:
    try:
        claims = jwt.decode(
            proof,
            Ed25519PublicKey.from_public_bytes(instance.public_key),
            algorithms=[_ALGORITHM],
            options={
                "verify_signature": True,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
                "verify_iss": False,
                "verify_sub": False,
                "verify_jti": False,
            },
        )
    except jwt.PyJWTError as error:
        raise SignatureDoesNotMatch(_NOT_SIGNED, detail=str(error)) from error
    wrong = [
        name
        for name, value in (
            ("iss", instance.arn),
            ("sub", instance.arn),
            ("aud", audience),
        )
        if claims.get(name) != value
    ]
    nonce = claims.get("jti")
    if not isinstance(nonce, str) or len(nonce) not in _JTI_CHARACTERS:
        wrong.append("jti")
    if wrong:
        raise SignatureDoesNotMatch(
            _NOT_SIGNED, detail=f"not what the claims must be: {', '.join(wrong)}"
        )
    _require_now(claims.get("iat"), now)
    return str(nonce)


def _require_now(issued: Any, now: datetime) -> None:  # noqa: ANN401  # JSON
    # Of whole numbers: JSON's may be beyond all others.
    seconds, window = int(now.timestamp()), int(WINDOW.total_seconds())
    if type(issued) is not int or abs(issued - seconds) > window:
        text = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        raise SignatureDoesNotMatch(
            f"Signature expired: the proof's time is more than 5 minutes from {text}.",
            detail=f"iat is {str(issued)[:40]}",
        )


def _account_of_profile(text: str) -> AccountId:
    try:
        arn = Arn.parse(text)
        account = parse_account_id(arn.account)
    except ValueError as error:
        raise ValidationError(
            f"{text[:80]} is not an instance profile's ARN."
        ) from error
    if arn.service != "iam" or not arn.resource.startswith(_PROFILE):
        raise ValidationError(f"{text[:80]} is not an instance profile's ARN.")
    return account
