"""Authenticates signed requests: who signed, and with which live credentials.

The order of checks is AWS's, as recorded (REC-A): the signature's form, its
time, its scope; then the key or session, alive and belonging together; the signature
itself last.
"""

import hashlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from functools import partial
from hmac import HMAC

from msgspec import Struct

from broker.errors import (
    BrokerError,
    IncompleteSignature,
    MalformedQueryString,
    MissingAuthenticationToken,
    ProofError,
    SignatureDoesNotMatch,
)
from broker.model.account import find_account_of_key_id
from broker.model.request import Params, RawRequest, RequestContext
from broker.model.secret import Secret
from broker.proofs.endpoints import Endpoints
from broker.proofs.long_term import LongTermKeys, ResolvedKey
from broker.proofs.scheme import ProofResult, Read
from broker.protocols.sigv4 import (
    STRICT,
    SignatureReason,
    SignatureRules,
    SignedRequest,
    SigV4Rejected,
    derive_signing_key,
    parse_signed,
    prepare_signing_key,
    verify_scope,
    verify_signature,
    verify_time,
)
from broker.runtime.batches import NEXT_TURN
from broker.runtime.bounded import CACHES, SHARED, BoundedCache, CacheMemory
from broker.runtime.offload import offload
from broker.sessions.resolve import ResolvedSession, Resolver

_MINIMUM_PRESIGNED_SECONDS = {("sts", "GetCallerIdentity"): 900}
# Cluster authenticators sign X-Amz-Expires=60 and present the URL for 14 minutes.
# Source: kubernetes-sigs/aws-iam-authenticator, pkg/token.

_ERRORS: Mapping[SignatureReason, type[BrokerError]] = {
    SignatureReason.UNSIGNED: MissingAuthenticationToken,
    SignatureReason.INCOMPLETE: IncompleteSignature,
    SignatureReason.MALFORMED_QUERY: MalformedQueryString,
    SignatureReason.AMBIGUOUS: SignatureDoesNotMatch,
    SignatureReason.NOT_COVERED: SignatureDoesNotMatch,
    SignatureReason.SCOPE: SignatureDoesNotMatch,
    SignatureReason.TIME: SignatureDoesNotMatch,
    SignatureReason.MISMATCH: SignatureDoesNotMatch,
}


LiveKey = ResolvedKey | ResolvedSession
"""What the resolvers find: who calls, and the secret that signs with it."""


class SigningKeys:
    """Caches derived signing keys.

    A key is found only by its secret, which was resolved for this very call, so the
    cache bypasses no revocation. Secrets are not kept.
    """

    def __init__(self, memory: CacheMemory = CACHES) -> None:
        self._keys = BoundedCache[tuple[str, bytes, str, str, str], HMAC](memory)

    def verify(
        self,
        signed: SignedRequest,
        raw: RawRequest,
        secret: Secret,
        rules: SignatureRules = STRICT,
    ) -> str:
        """Check the signature with the key for the request's scope.

        Returns what was signed of the body.

        Only a key that verified is remembered, so that clients without a secret cannot
        evict the entries of others.

        Raises:
            SigV4Rejected: the signature is wrong.
        """
        text = secret.reveal()
        scope = (
            signed.access_key_id,
            hashlib.sha256(text.encode()).digest(),
            signed.date,
            signed.region,
            signed.service,
        )
        account = find_account_of_key_id(signed.access_key_id) or SHARED
        known = self._keys.get(account, scope)
        key = known or prepare_signing_key(
            derive_signing_key(text, signed.date, signed.region, signed.service)
        )
        payload = verify_signature(signed, raw, key, rules)
        if known is None:
            self._keys.put(account, scope, key)
        return payload


class SignedFor(Struct, frozen=True, kw_only=True):
    """What a signed request must be signed for: a service, where, and by which rules.

    ``also`` are further names of the service; ``regions`` None stands for all.
    """

    service: str
    also: tuple[str, ...] = ()
    regions: AbstractSet[str] | None = None
    rules: SignatureRules = STRICT


class SignatureScheme:
    """Proves the callers of signed requests, in either form."""

    def __init__(
        self,
        long_term: LongTermKeys,
        sessions: Resolver,
        endpoints: Endpoints,
        *,
        signing_keys: SigningKeys | None = None,
    ) -> None:
        self._long_term = long_term
        self._sessions = sessions
        self._endpoints = endpoints
        self._signing_keys = signing_keys or SigningKeys()
        self._own: dict[str, SignedFor] = {}
        """What requests to the broker itself are signed for, by service."""

    async def prove(
        self, request: RequestContext, service: str, action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """The caller who signed the request; then the input is read.

        ``service`` is what the credential scope must name, and ``action`` decides
        how long a presigned URL holds.

        Raises:
            MissingAuthenticationToken: the request is not signed.
            IncompleteSignature, MalformedQueryString: the signature cannot be read.
            SignatureDoesNotMatch: form, scope, time or signature is wrong.
            InvalidClientTokenId, ExpiredToken: the credentials are not valid any more.
            ServiceUnavailable: the directory is away.
        """
        raw = request.raw
        regions = self._endpoints.regions_at(raw)
        wanted = self._own.get(service)
        if wanted is None or wanted.regions is not regions:
            wanted = self._own[service] = SignedFor(service=service, regions=regions)
        minimum = _MINIMUM_PRESIGNED_SECONDS.get((service, action), 0)
        key, signed, _ = await self.verify(raw, wanted, request.now, minimum)
        return ProofResult(caller=key.caller, region=signed.region), await read()

    async def verify(
        self,
        raw: RawRequest,
        wanted: SignedFor,
        now: datetime,
        minimum: int = 0,
        *,
        is_long: bool = False,
    ) -> tuple[LiveKey, SignedRequest, str]:
        """The key, the signature taken apart, and what was signed of the body.

        That is its SHA-256 in hexadecimal, or what the rules let stand for it. The
        request may have been forwarded by someone else; what ``is_long`` is verified off
        the event loop.

        Raises:
            BrokerError: as ``prove`` does.
        """
        rules = wanted.rules
        try:
            if is_long:
                signed = await offload(partial(parse_signed, raw, rules))
            else:
                signed = parse_signed(raw, rules)
            verify_time(signed, now=now, minimum_presigned_seconds=minimum, rules=rules)
            verify_scope(
                signed, regions=wanted.regions, service=wanted.service, also=wanted.also
            )
            if NEXT_TURN.calls > 1:
                await NEXT_TURN
            key_id, token = signed.access_key_id, signed.session_token
            try:
                key = await self.resolve(key_id, token, now)
            except ProofError as error:
                error.access_key_id = await self._find_ended(signed, raw, now, rules)
                raise
            if is_long:
                verify = partial(
                    self._signing_keys.verify, signed, raw, key.secret, rules
                )
                payload = await offload(verify)
            else:
                payload = self._signing_keys.verify(signed, raw, key.secret, rules)
        except SigV4Rejected as rejected:
            raise _ERRORS[rejected.reason](
                rejected.message, detail=rejected.detail
            ) from None
        return key, signed, payload

    async def _find_ended(
        self,
        signed: SignedRequest,
        raw: RawRequest,
        now: datetime,
        rules: SignatureRules,
    ) -> str:
        """The access key ID of an ended session that signed this, for its record."""
        key_id, token = signed.access_key_id, signed.session_token
        secret = await self._sessions.find_secret(key_id, token, now) if token else None
        if secret is None:
            return ""
        try:
            self._signing_keys.verify(signed, raw, secret, rules)
        except SigV4Rejected:
            return ""
        return key_id

    async def resolve(
        self, access_key_id: str, token: str | None, now: datetime
    ) -> LiveKey:
        """The live credentials of an access key id, with a session's token.

        Raises:
            InvalidClientTokenId, ExpiredToken: they are not live ones.
            ServiceUnavailable: the directory is away.
        """
        if token is None:
            return await self._long_term.resolve(access_key_id)
        return await self._sessions.resolve(access_key_id, token, now)


class SignedForScheme:
    """Proves the callers of requests that are signed by other rules than our own."""

    def __init__(self, signatures: SignatureScheme, wanted: SignedFor) -> None:
        self._signatures = signatures
        self._wanted = wanted

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """The caller who signed the request; then the input is read.

        Raises:
            BrokerError: as `SignatureScheme.prove` does.
        """
        key, signed, _ = await self._signatures.verify(
            request.raw, self._wanted, request.now
        )
        proved = ProofResult(caller=key.caller, region=signed.region)
        return proved, await read()
