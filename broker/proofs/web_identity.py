"""Verifies web identity tokens and translates them into federated identities.

The token only names its issuer. The provider is the one that the *role's* account
registered for exactly that issuer; only its keys, client ids and options count.

Source: botocore's STS model; recorded answers (REC-S oidc).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import NoReturn

from msgspec import Struct

from broker.errors import (
    AccessDenied,
    BrokerError,
    ExpiredFederationToken,
    IdpCommunicationError,
    IdpRejectedClaim,
    InvalidIdentityToken,
)
from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.model.federated import FederatedIdentity
from broker.model.principal import Principal, PrincipalType
from broker.policy import known_claims
from broker.proofs.admission import Admission
from broker.proofs.group_roles import GroupRoles, read_groups
from broker.proofs.issuer_keys import IssuerKeys, IssuerUnreachableError
from broker.proofs.provider_options import ProviderOptions, ScimOptions
from broker.proofs.scim import is_unverified, value_of
from broker.protocols.oidc.claim_values import read_values
from broker.protocols.oidc.logout import LogoutToken, peek_logout, verify_logout
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.protocols.oidc.token import parse_token
from broker.protocols.oidc.verify import (
    VerifiedToken,
    VerifyOptions,
    check_algorithm,
    verify_token,
)
from broker.runtime.batches import NEXT_TURN
from broker.runtime.bounded import BoundedCache
from broker.stores.directory.kinds import OIDC_PROVIDER
from broker.stores.directory.port import Finder

_LINEAGE_CLAIM = "broker_lineage"
AMAZON = "www.amazon.com"
FACEBOOK = "graph.facebook.com"

_NOT_VALIDATED = (
    "The web identity token provided could not be validated."
    " See the AssumeRoleWithWebIdentity documentation for requirements."
)
_NO_KEY = (
    "Couldn't retrieve verification key from your identity provider, "
    " please reference AssumeRoleWithWebIdentity documentation for requirements"
)
_NOT_A_JWT = (
    "The ID Token provided is not a valid JWT."
    " (You may see this error if you sent an Access Token)"
)
_WRONG_AUDIENCE = "Incorrect token audience"
_UNREACHABLE = (
    "The identity provider (IdP) that was asked to verify the incoming identity"
    " token could not be reached. Retry your request a limited number of times."
)
_NO_PROVIDER = "No OpenIDConnect provider found in your account for https://{}"
_ROLE_NOT_IN_CLAIM = (
    "The target role ARN is not present in the roles claim of the identity token"
)
_NOT_AMAZON = "Provided Token is not a Login With Amazon token"
_NOT_AUTHORIZED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"

_SHOWN_ISSUER_CHARACTERS = 255

WIRE_ERRORS: Mapping[OidcReason, tuple[type[BrokerError], str | None]] = (
    MappingProxyType(
        {
            OidcReason.NOT_A_JWT: (InvalidIdentityToken, _NOT_A_JWT),
            OidcReason.ALGORITHM_NOT_ALLOWED: (InvalidIdentityToken, _NOT_VALIDATED),
            OidcReason.UNKNOWN_KEY: (InvalidIdentityToken, _NO_KEY),
            OidcReason.KEY_DOES_NOT_FIT: (InvalidIdentityToken, _NOT_VALIDATED),
            OidcReason.BAD_SIGNATURE: (InvalidIdentityToken, _NOT_VALIDATED),
            OidcReason.MISSING_CLAIM: (InvalidIdentityToken, None),
            OidcReason.EMPTY_CLAIM: (InvalidIdentityToken, None),
            OidcReason.BAD_CLAIM: (InvalidIdentityToken, _NOT_VALIDATED),
            OidcReason.WRONG_ISSUER: (InvalidIdentityToken, _NOT_VALIDATED),
            OidcReason.WRONG_AUDIENCE: (InvalidIdentityToken, _WRONG_AUDIENCE),
            OidcReason.NO_AUTHORIZED_PARTY: (InvalidIdentityToken, None),
            OidcReason.BAD_TIMESTAMP: (InvalidIdentityToken, None),
            OidcReason.EXPIRED: (ExpiredFederationToken, None),
            OidcReason.ISSUED_IN_FUTURE: (InvalidIdentityToken, None),
            OidcReason.NOT_YET_VALID: (InvalidIdentityToken, None),
            OidcReason.BAD_TAGS: (InvalidIdentityToken, None),
            OidcReason.BAD_DISCOVERY: (InvalidIdentityToken, _NO_KEY),
            OidcReason.BAD_KEY_SET: (InvalidIdentityToken, _NO_KEY),
        }
    )
)
"""The wire error of each refusal; None takes the refusal's own message."""


class WebIdentityProver:
    """Proves the callers of ``AssumeRoleWithWebIdentity``."""

    def __init__(
        self,
        providers: Finder,
        keys: IssuerKeys,
        admission: Admission,
        *,
        skew: timedelta,
    ) -> None:
        self._providers = providers
        self._admission = admission
        self._trusted = BoundedCache[str, _TrustedProvider]()
        self._keys = keys
        self._skew = skew

    async def prove(
        self,
        token: str,
        *,
        account: AccountId,
        now: datetime,
        role_arn: str | None = None,
        provider_id: str | None = None,
    ) -> FederatedIdentity:
        """The identity that a token proves in ``account``, the role's.

        With ``role_arn`` the token's roles claim is enforced too. ``provider_id`` is
        the request's ``ProviderId`` for legacy access tokens, which the broker does not
        support.

        Raises:
            InvalidIdentityToken, ExpiredFederationToken: the token is not valid here.
            IdpCommunicationError: the issuer's keys cannot be fetched; try again.
            IdpRejectedClaim: the provider's directory says that the person may not, or
                they are barred.
            IdpRejectedClaim, AccessDenied: AWS's answers to a legacy ``ProviderId``.
        """
        if provider_id is not None:
            _refuse_legacy(provider_id)
        try:
            unverified = parse_token(token)
            provider = await self._get_provider(account, unverified.issuer)
            trusted = self._prepare(provider)
            check_algorithm(unverified, trusted.rules)
            keys = await self._keys.keys_for(provider, trusted.options, unverified.kid)
            if NEXT_TURN.calls > 1:
                await NEXT_TURN
            verified = verify_token(
                unverified,
                keys=keys,
                issuer=provider.url,
                client_ids=provider.client_ids,
                now=now,
                skew=self._skew,
                options=trusted.rules,
            )
            if NEXT_TURN.calls > 1:
                await NEXT_TURN
            identity = self._identity(verified, trusted)
        except OidcRejected as rejected:
            raise translate(rejected) from rejected
        except IssuerUnreachableError as error:
            raise IdpCommunicationError(_UNREACHABLE, detail=str(error)) from error
        identity = await self._admission.admit(identity, trusted.scim, now)
        if trusted.group_roles is not None:
            identity = trusted.group_roles.apply(identity)
        identity = await self._admission.without_lost_roles(identity)
        if role_arn is not None:
            require_allowed_role(identity, role_arn)
        return identity

    async def prove_logout(
        self, token: str, provider: OidcProvider, *, now: datetime
    ) -> LogoutToken:
        """The logout in a provider's logout token for the sign-in page, its client.

        Raises:
            InvalidIdentityToken, ExpiredFederationToken: it is not a proof of one.
            IdpCommunicationError: the issuer's keys cannot be fetched; try again.
        """
        trusted = self._prepare(provider)
        options, rules = trusted.options, trusted.rules
        try:
            unverified = peek_logout(token)
            check_algorithm(unverified, rules)
            return verify_logout(
                unverified,
                keys=await self._keys.keys_for(provider, options, unverified.kid),
                issuer=provider.url,
                client_id=options.client_id,
                now=now,
                skew=self._skew,
                options=rules,
            )
        except OidcRejected as rejected:
            raise translate(rejected) from rejected
        except IssuerUnreachableError as error:
            raise IdpCommunicationError(_UNREACHABLE, detail=str(error)) from error

    async def _get_provider(self, account: AccountId, issuer: str) -> OidcProvider:
        scheme, separator, rest = issuer.partition("://")
        # The built-in Google issuer has a form without scheme, which cannot be
        # registered.
        host_and_path = rest if separator else scheme
        provider = (
            await self._providers.named(OIDC_PROVIDER, account, host_and_path)
            if separator
            else None
        )
        # The directory may ignore case in names, but issuers must match exactly.
        if provider is None or provider.url != issuer:
            text = host_and_path[:_SHOWN_ISSUER_CHARACTERS]
            raise InvalidIdentityToken(
                _NO_PROVIDER.format(text if _is_plain(text) else ""),
                detail=f"account {account} has no provider for {issuer!r:.300}",
            )
        return provider

    def _prepare(self, provider: OidcProvider) -> "_TrustedProvider":
        """What a provider comes to, computed once.

        Raises:
            InvalidIdentityToken: its options cannot be read.
        """
        known = self._trusted.get(provider.account, provider.unique_id)
        # The directory remembers a provider until it changes, and then has another.
        if known is None or known.provider is not provider:
            known = _TrustedProvider.of(provider)
            self._trusted.put(provider.account, provider.unique_id, known)
        return known

    def _identity(
        self, token: VerifiedToken, trusted: "_TrustedProvider"
    ) -> FederatedIdentity:
        provider, arn, claims = trusted.provider, trusted.arn, token.claims
        scim, group_roles = trusted.scim, trusted.group_roles
        lasting, context = _condition_keys(token, trusted)
        replay_id: tuple[str, ...] | None = None
        if trusted.options.one_time_use and token.token_id is not None:
            replay_id = (token.issuer, token.token_id)
            if self._keys.is_private(provider, trusted.options):
                # If only this provider trusts the key, the token is used up for it
                # alone.
                replay_id = (provider.unique_id, *replay_id)
        return FederatedIdentity(
            principal=Principal.from_provider(
                PrincipalType.WEB_IDENTITY,
                provider.account,
                provider=arn,
                subject=token.subject,
            ),
            account=provider.account,
            provider_arn=arn,
            provider_id=provider.unique_id,
            issuer=token.issuer,
            subject=token.subject,
            audience=token.audience,
            allowed_roles=token.allowed_roles,
            tags=token.session_tags.tags,
            transitive_keys=token.session_tags.transitive_keys,
            source_identity=token.source_identity,
            context=context,
            session_context=lasting,
            claims=claims,
            token_id=token.token_id or "",
            issued_at=datetime.fromtimestamp(token.issued_at, UTC),
            provider_session=_text(claims.get("sid")),
            groups=read_groups(group_roles, claims) if group_roles else (),
            sealed_lineage=_text(claims.get(_LINEAGE_CLAIM)),
            replay_id=replay_id,
            directory_value=_directory_value(scim, token.subject, claims),
            usable_until=(
                datetime.fromtimestamp(token.good_until, UTC) if replay_id else None
            ),
        )


def _directory_value(
    scim: ScimOptions | None, subject: str, claims: Mapping[str, object]
) -> str:
    if scim is None or is_unverified(scim.claim, claims, absent=True):
        return ""
    return value_of(scim, subject, claims.get(scim.claim))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def translate(rejected: OidcRejected) -> BrokerError:
    """The wire error of a refusal."""
    error, text = WIRE_ERRORS[rejected.reason]
    return error(
        rejected.message if text is None else text,
        detail=f"{rejected.reason}: {rejected.detail or rejected.message}",
    )


def require_allowed_role(identity: FederatedIdentity, role_arn: str) -> None:
    """Refuse a role that the token's roles claim leaves out.

    Raises:
        InvalidIdentityToken: the claim is there and does not name the role.
    """
    allowed = identity.allowed_roles
    if allowed is not None and role_arn not in allowed:
        raise InvalidIdentityToken(
            _ROLE_NOT_IN_CLAIM, detail=f"{role_arn} is not among {sorted(allowed)}"
        )


class _TrustedProvider(Struct, frozen=True, kw_only=True):
    """What a provider's registration comes to for every token.

    ``prefix`` is that of its condition keys, and ``claim_keys`` names the key of each
    claim that is one.
    """

    provider: OidcProvider
    arn: str
    options: ProviderOptions
    rules: VerifyOptions
    scim: ScimOptions | None
    group_roles: GroupRoles | None
    prefix: str
    claim_keys: Mapping[str, str]

    @classmethod
    def of(cls, provider: OidcProvider) -> "_TrustedProvider":
        """Read the provider's options."""
        host_and_path = provider.host_and_path
        prefix = host_and_path.lower()
        try:
            options = ProviderOptions.parse(provider.options)
        except ValueError as error:
            raise InvalidIdentityToken(
                _NOT_VALIDATED, detail=f"options of {provider.arn}: {error}"
            ) from error
        names = (*known_claims(host_and_path), *options.claim_keys)
        return cls(
            provider=provider,
            arn=provider.arn,
            options=options,
            rules=options.oidc,
            scim=options.scim,
            group_roles=options.group_roles,
            prefix=prefix,
            claim_keys={name: f"{prefix}:{name.lower()}" for name in names},
        )


def _condition_keys(
    token: VerifiedToken, trusted: _TrustedProvider
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """The condition keys of the session, and all those that the trust policy sees.

    ``aud``, ``sub`` and ``amr`` stay in the session; other claims are available in this
    call only.

    Source: IAM User Guide, "Available keys for AWS OIDC federation".

    Raises:
        OidcRejected: BAD_CLAIM, a claim cannot be the value of a condition key.
    """
    prefix = trusted.prefix
    lasting: dict[str, tuple[str, ...]] = {
        f"{prefix}:aud": (token.audience,),
        f"{prefix}:sub": (token.subject,),
        "aws:federatedprovider": (trusted.arn,),
    }
    if token.authentication_methods:
        lasting[f"{prefix}:amr"] = token.authentication_methods
    context = dict(lasting)
    if token.email is not None:
        context[f"{prefix}:email"] = (token.email,)
    if token.replaced_audience:
        context[f"{prefix}:oaud"] = token.replaced_audience
    for name, key in trusted.claim_keys.items():
        if values := read_values(token.claims, name):
            context[key] = values
    # Roles that the claim does not name are refused by require_allowed_role.
    named = token.allowed_roles is not None
    context["sts:roleauthorizedbyidp"] = ("true" if named else "false",)
    return lasting, context


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _refuse_legacy(provider_id: str) -> NoReturn:
    """Answer a legacy ``ProviderId`` as AWS answers an unknown one."""
    detail = f"ProviderId {provider_id!r:.100} is not configured"
    if provider_id == AMAZON:
        raise InvalidIdentityToken(_NOT_AMAZON, detail=detail)
    if provider_id == FACEBOOK:
        raise IdpRejectedClaim(detail=detail)
    raise AccessDenied(_NOT_AUTHORIZED, detail=detail)
