"""Authenticates requests that the key of a certificate signed: IAM Roles Anywhere.

Only certificates count that lead to the named trust anchor of one account, and the
anchor's revocation lists are asked about all of them. The caller is the service
``rolesanywhere.amazonaws.com``, for which the role's trust policy is evaluated, with the
certificate's attributes as tags.

Source: IAM Roles Anywhere User Guide, "Authentication" and "Trust model".
"""

import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from broker import errors
from broker.kinds.roles_anywhere import SERVICE_PRINCIPAL
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import Arn
from broker.model.federated import FederatedIdentity
from broker.model.principal import Principal
from broker.model.request import Params, RequestContext
from broker.model.roles_anywhere import (
    CertificateProfile,
    TrustAnchor,
    rolesanywhere_arn,
)
from broker.model.tag_text import is_tag_value
from broker.proofs.admission import Admission
from broker.proofs.certified import certificate_target, list_revocations
from broker.proofs.endpoints import Endpoints
from broker.proofs.federated import federated_caller
from broker.proofs.scheme import ProofRefused, ProofResult, Read
from broker.protocols.sigv4 import (
    X509,
    SignatureReason,
    SignedRequest,
    SigV4Rejected,
    collect_headers,
    parse_signed,
    signed_text,
    verify_scope,
    verify_time,
)
from broker.protocols.x509.attributes import (
    describe,
    find_common_name,
    read_attributes,
    serial_number,
)
from broker.protocols.x509.chain import (
    Anchors,
    VerifiedChain,
    find_issued,
    parse_anchors,
    verify_chain,
)
from broker.protocols.x509.errors import CertificateRejected
from broker.protocols.x509.presented import (
    CERTIFICATE_HEADER,
    CHAIN_HEADER,
    PresentedCertificates,
    parse_presented,
)
from broker.protocols.x509.revocation import issuer_digest, verify_not_revoked
from broker.runtime.bounded import BoundedCache, remembered
from broker.runtime.offload import offload
from broker.stores.directory.kinds import CERTIFICATE_PROFILE, TRUST_ANCHOR
from broker.stores.directory.readings import FreshDirectory

PROFILE = "Profile"
"""The member of the input that holds the `CertificateProfile`."""

_SERVICE = "rolesanywhere"
_SOURCE_IDENTITY = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
_SUBJECTS = uuid.UUID("0d2ec4a5-3a3f-4d5e-9d0f-52cf06f1e1a4")
"""The name space of subjects' ids, which follow from account and name."""

_ERRORS = {
    SignatureReason.UNSIGNED: errors.MissingAuthenticationToken,
    SignatureReason.INCOMPLETE: errors.IncompleteSignature,
}


class ValidatedPath(Struct, kw_only=True):
    """What a request presented, and the path that leads from it to a trust anchor.

    ``described`` is what the certificate says of itself, and ``identity`` whom it
    proves, in the terms of ``profile``.
    """

    presented: PresentedCertificates
    anchors: Anchors
    chain: VerifiedChain
    described: Mapping[str, str]
    profile: CertificateProfile | None = None
    identity: FederatedIdentity | None = None


class ValidatedPaths:
    """Remembers the paths to an account's trust anchors.

    A path is found only by the very bytes that were presented before, for the same
    state of the trust anchor, and while all its certificates are valid. The request's
    signature and the revocation lists are checked at each request all the same. Only
    what proved a request is remembered, so that strangers cannot evict it.
    """

    def __init__(self) -> None:
        self._paths = BoundedCache[bytes, ValidatedPath]()

    def find(
        self, account: AccountId, presented: bytes, anchors: Anchors, now: datetime
    ) -> ValidatedPath | None:
        """The path of certificates that were presented before."""
        path = self._paths.get(account, presented)
        if path is None or path.anchors is not anchors or not path.chain.holds_at(now):
            return None
        return path

    def add(self, account: AccountId, presented: bytes, path: ValidatedPath) -> None:
        """Remember a path that proved a request."""
        self._paths.put(account, presented, path)


class CertificateScheme:
    """``trustAnchorArn``, ``profileArn`` and a certificate prove a machine."""

    def __init__(self, fresh: FreshDirectory, endpoints: Endpoints) -> None:
        self._fresh = fresh
        self._endpoints = endpoints
        self._admission = Admission(fresh)
        self._paths = ValidatedPaths()

    async def prove(
        self, request: RequestContext, _service: str, _action: str, read: Read
    ) -> tuple[ProofResult, Params]:
        """Read, then prove; the profile is added to what was read.

        Raises:
            MissingAuthenticationToken, IncompleteSignature, SignatureDoesNotMatch: the
                signature's form, time or scope.
            ValidationError: an ARN is malformed.
            ProofRefused: the certificate is not a proof for this trust anchor.
            AccessDenied: the profile is not there or disabled.
            ProofRefused: the subject is barred, or was revoked after it was issued.
            StoreUnavailableError: the directory is away.
        """
        params = await read()
        signed, text = self._read_signature(request)
        account, anchor_id = _parse_arn(params["trustAnchorArn"], "trust-anchor")
        anchor = await self._fresh.find(TRUST_ANCHOR, account, anchor_id)
        if (
            anchor is None
            or anchor.arn != params["trustAnchorArn"]
            or anchor.region != signed.region
        ):
            raise errors.InvalidIdentityToken(
                "Untrusted certificate. Insufficient certificate",
                detail=f"there is no trust anchor {params['trustAnchorArn']} here",
            )
        details: dict[str, object] = {}
        try:
            path = await self._verify(request, anchor, signed, text, details)
            profile = await self._require_profile(params["profileArn"], anchor)
            identity = _identify(path, anchor, profile, params["roleArn"])
            await self._admission.admit(identity, None, request.now)
        except CertificateRejected as error:
            refusal = errors.InvalidIdentityToken(error.message, detail=error.detail)
            raise _refused(refusal, anchor, details) from error
        except (errors.ExpiredFederationToken, errors.IdpRejectedClaim) as error:
            refusal = errors.InvalidIdentityToken(error.message, detail=error.detail)
            raise _refused(refusal, anchor, details) from error
        except errors.AccessDenied as error:
            raise _refused(error, anchor, details) from error
        proved = ProofResult(
            caller=federated_caller(identity),
            region=signed.region,
            identity=identity,
            details=details,
        )
        return proved, {**params, PROFILE: profile}

    def _read_signature(self, request: RequestContext) -> tuple[SignedRequest, bytes]:
        """The signature taken apart, in time and scope, and what it is over."""
        raw = request.raw
        try:
            signed = parse_signed(raw, X509)
            verify_time(signed, now=request.now)
            verify_scope(
                signed, regions=self._endpoints.regions_at(raw), service=_SERVICE
            )
            return signed, signed_text(signed, raw)
        except SigV4Rejected as rejected:
            raise _ERRORS.get(rejected.reason, errors.SignatureDoesNotMatch)(
                rejected.message, detail=rejected.detail
            ) from None

    async def _verify(
        self,
        request: RequestContext,
        anchor: TrustAnchor,
        signed: SignedRequest,
        text: bytes,
        details: dict[str, object],
    ) -> ValidatedPath:
        """The path; ``details`` gets what the certificate says of itself."""
        headers, _ = collect_headers(request.raw.headers)
        anchors = await self._anchors(anchor)
        digest = _digest(headers)
        path = self._paths.find(anchor.account, digest, anchors, request.now)
        presented = path.presented if path else parse_presented(headers, anchors)
        leaf = presented.unverified_leaf
        described = details["certificate"] = path.described if path else describe(leaf)
        if not anchor.enabled:
            raise CertificateRejected(
                "Untrusted certificate. Insufficient certificate",
                "the trust anchor is disabled",
            )
        if signed.access_key_id != str(leaf.serial_number):
            raise CertificateRejected(
                "The credential is not the serial number of the certificate."
            )
        presented.verify_signature(signed.algorithm, signed.signature, text)
        if path is None:
            issued = find_issued(leaf, presented.unverified_chain, anchors)
            chain = await offload(
                lambda: verify_chain(leaf, issued, anchors, request.now), proved=False
            )
            path = ValidatedPath(
                presented=presented, anchors=anchors, chain=chain, described=described
            )
            self._paths.add(anchor.account, digest, path)
        lists = await list_revocations(self._fresh, anchor.account, anchor.anchor_id)
        verify_not_revoked(path.chain, lists, request.now)
        return path

    async def _anchors(self, anchor: TrustAnchor) -> Anchors:
        async def load() -> Anchors:
            return parse_anchors(anchor.certificates)

        key = "anchors", anchor.anchor_id
        return await self._fresh.memo.keep(
            anchor.account, key, anchor.certificates, load
        )

    async def _require_profile(
        self, arn: str, anchor: TrustAnchor
    ) -> CertificateProfile:
        account, profile_id = _parse_arn(arn, "profile")
        profile = None
        if account == anchor.account:
            profile = await self._fresh.find(CERTIFICATE_PROFILE, account, profile_id)
        if profile is None or profile.arn != arn or profile.region != anchor.region:
            raise errors.AccessDenied(
                "Unable to assume role with this profile.",
                detail=f"there is no profile {arn} in the trust anchor's region",
            )
        if not profile.enabled:
            raise errors.AccessDenied(
                "Unable to assume role with this profile.",
                detail=f"the profile {arn} is disabled",
            )
        return profile


def _digest(headers: Mapping[bytes, bytes]) -> bytes:
    """The digest of the certificates in a request's headers, byte for byte."""
    leaf = headers.get(CERTIFICATE_HEADER, b"")
    chain = headers.get(CHAIN_HEADER, b"")
    return hashlib.sha256(b"%d %b%b" % (len(leaf), leaf, chain)).digest()


def _identify(
    path: ValidatedPath, anchor: TrustAnchor, profile: CertificateProfile, role: str
) -> FederatedIdentity:
    """Whom a path proves; read from the certificate once for a profile's state."""
    identity = path.identity
    if identity is None or path.profile is not profile:
        identity = _identity_of(path.chain, anchor, profile)
        _require_tags(identity, role)
        path.identity, path.profile = identity, profile
    return identity


def _identity_of(
    chain: VerifiedChain, anchor: TrustAnchor, profile: CertificateProfile
) -> FederatedIdentity:
    """What the certificate says, in AWS's terms."""
    leaf = chain.leaf
    name = leaf.subject.rfc4514_string()
    common_name = find_common_name(leaf)
    if common_name is not None and not _SOURCE_IDENTITY.fullmatch(common_name):
        raise CertificateRejected(
            "The subject's common name cannot be a source identity: it must have 2 to"
            " 64 letters, digits and characters of +=,.@-_."
        )
    subject_id = uuid.uuid5(_SUBJECTS, f"{anchor.account}/{name}")
    arn = rolesanywhere_arn(anchor.region, anchor.account, "subject", str(subject_id))
    return FederatedIdentity(
        principal=Principal.aws_service(
            anchor.account, service=SERVICE_PRINCIPAL, arn=arn, name=name
        ),
        account=anchor.account,
        provider_arn=anchor.arn,
        provider_id=anchor.anchor_id,
        issuer=leaf.issuer.rfc4514_string(),
        subject=name,
        session_name=serial_number(leaf),
        tags=read_attributes(leaf, profile.attribute_mappings),
        source_identity=common_name,
        session_ends_at=chain.ends_at,
        issued_at=leaf.not_valid_before_utc,
        certificate=certificate_target(
            anchor.anchor_id,
            profile.profile_id,
            leaf.serial_number,
            issuer_digest(leaf.issuer),
        ),
        context={
            "aws:sourcearn": (anchor.arn,),
            "aws:sourceaccount": (anchor.account,),
            "aws:principalisawsservice": ("true",),
            "aws:principalservicename": (SERVICE_PRINCIPAL,),
        },
    )


def _require_tags(identity: FederatedIdentity, role: str) -> None:
    """Name the attributes that no tag can have, in AWS's words."""
    bad = [name for name, text in identity.tags.items() if not is_tag_value(text)]
    if not bad:
        return
    places = "; ".join(
        f"{place}: [ {', '.join(_below(f'x509{place}/', bad))} ]"
        for place in ("Issuer", "Subject", "SAN")
    )
    raise errors.AccessDenied(
        f"Unable to assume role for {role}. Some attributes failed to be mapped into"
        f" session tags. {places}"
    )


def _below(prefix: str, names: Sequence[str]) -> Sequence[str]:
    return [name.removeprefix(prefix) for name in names if name.startswith(prefix)]


def _refused(
    error: errors.BrokerError, anchor: TrustAnchor, details: Mapping[str, object]
) -> ProofRefused:
    return ProofRefused(
        error,
        account=anchor.account,
        arn=anchor.arn,
        provider_id=anchor.anchor_id,
        details=details,
    )


@remembered()
def _parse_arn(text: str, kind: str) -> tuple[AccountId, str]:
    try:
        arn = Arn.parse(text)
        account = parse_account_id(arn.account)
    except ValueError as error:
        raise errors.ValidationError(f"{text[:1011]} is invalid") from error
    value, _, name = arn.resource.partition("/")
    if arn.service != _SERVICE or value != kind:
        raise errors.ValidationError(f"{text[:1011]} is invalid")
    return account, name
