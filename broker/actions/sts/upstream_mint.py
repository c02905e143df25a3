"""The last step of assuming a role with an upstream.

Everything before it is the broker's own: proof, trust policy, tags, session name,
source identity, session policies, limits, replay, audit. Only the credentials come from
the upstream, and so do its limits.

Source: AWS STS API reference, "AssumeRole", "AssumeRoleWithWebIdentity" and
"GetFederationToken"; IAM User Guide, "Pass session tags in AWS STS".
"""

import json
from collections.abc import AsyncIterator, Iterable
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from broker.actions.sts.roles import assumed_role_user
from broker.errors import (
    BrokerError,
    OutboundFederationDisabled,
    ServiceUnavailable,
    UpstreamOutcomeUnknown,
    UpstreamRefused,
    UpstreamUnavailable,
    ValidationError,
)
from broker.kinds.outbound import Algorithm, find_outbound, issuer_of, sign
from broker.kinds.upstream_definition import (
    UpstreamDefinition,
    UpstreamRejected,
    find_upstream_role,
    parse_upstream,
    parse_upstreams,
)
from broker.model.account import Account
from broker.model.arn import Arn, iam_arn
from broker.model.entities import Role
from broker.model.revocation import deny_older_sessions
from broker.model.sealing import Opener
from broker.model.secret import Secret
from broker.model.session import TemporaryCredentials
from broker.model.upstream import UPSTREAM_SEAL, Upstream
from broker.proofs.ambient import AmbientCredentialsError
from broker.proofs.session_name import shorten
from broker.proofs.upstream_client import (
    KeyPair,
    UpstreamClient,
    UpstreamRefusedError,
    UpstreamUnclearError,
    UpstreamUnreachableError,
    login_url,
)
from broker.runtime.entropy import new_request_id
from broker.sessions.issue_upstream import NothingMintedError, UpstreamMint
from broker.sessions.tags import NO_TAGS, SessionTags
from broker.sessions.vault import SealBrokenError
from broker.stores.directory.kinds import UPSTREAM
from broker.stores.directory.readings import FreshDirectory

_TOKEN_LIFE = timedelta(minutes=5)
_TAGS_CLAIM = "https://aws.amazon.com/tags"
_SOURCE_IDENTITY_CLAIM = "https://aws.amazon.com/source_identity"
_CHAINED_SECONDS_MAX = 3600
_LEAST_SECONDS = 900
_SKEW_SECONDS_MAX = 900
"""Beyond it, AWS takes no signed request; a clock that says so is not believed."""

_FEDERATED_NAME_MAX = 32
_AWS = "aws"
"""Whose the managed policies are that every account has."""


class Ambient(Protocol):
    """Finds the credentials of the broker's environment: variables, profile, instance."""

    async def find(self) -> KeyPair:
        """The credentials.

        Raises:
            AmbientCredentialsError: there are none in time.
        """
        ...


class UpstreamRole(Struct, frozen=True, kw_only=True):
    """The upstream of a role, and the role there (empty for federation tokens)."""

    upstream: Upstream
    definition: UpstreamDefinition
    role_arn: str


class UpstreamOrder(Struct, frozen=True, kw_only=True):
    """A permitted request for a session, as the upstream is asked for it.

    ``subject`` is whom a token is about, and ``principal_arn`` the session here.
    """

    subject: str
    principal_arn: str
    session_name: str
    duration_seconds: int
    now: datetime
    tags: SessionTags = NO_TAGS
    source_identity: str | None = None
    policy: str | None = None
    policy_arns: tuple[str, ...] = ()


class UpstreamMinter:
    """Asks the upstreams behind roles."""

    def __init__(
        self,
        fresh: FreshDirectory,
        client: UpstreamClient,
        opener: Opener,
        ambient: Ambient,
        public_origin: str,
    ) -> None:
        self._fresh = fresh
        self._client = client
        self._opener = opener
        self._ambient = ambient
        self._public_origin = public_origin

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def find(self, role: Role) -> UpstreamRole | None:
        """The upstream that mints for a role; None where the broker does itself.

        Raises:
            ServiceUnavailable: an upstream that may be it cannot be read.
        """
        known = await self._fresh.all_of(UPSTREAM, role.account)
        if not known:
            return None
        upstreams: dict[str, Upstream] = {}
        for listed in known:
            upstream = await self._fresh.find(UPSTREAM, role.account, listed.name)
            if upstream is not None:
                upstreams[upstream.name] = upstream
        definitions, unreadable = parse_upstreams(upstreams.values())
        upstream_role = find_upstream_role(role.name, definitions)
        named = (
            upstream_role is not None
            and role.name in definitions[upstream_role[0]].roles
        )
        if unreadable and not named:
            name, why = next(iter(unreadable.items()))
            raise ServiceUnavailable(
                detail=f"the upstream {name} cannot be read: {why}"
            )
        if upstream_role is None:
            return None
        name, arn = upstream_role
        return UpstreamRole(
            upstream=upstreams[name], definition=definitions[name], role_arn=arn
        )

    async def mint(
        self,
        engine: UpstreamRole,
        account: Account,
        order: UpstreamOrder,
        *,
        finds_out: bool = False,
    ) -> UpstreamMint:
        """Ask for credentials; ``finds_out`` whether the upstream names sessions.

        Raises:
            NothingMintedError: definitely none were issued.
            UpstreamOutcomeUnknown: some may have been.
        """
        try:
            parameters, keys = await self._question(engine, account, order)
        except BrokerError as error:
            raise NothingMintedError(error) from error
        definition, name = engine.definition, engine.upstream.name
        try:
            credentials = await self._client.assume(
                account.account_id,
                definition.endpoint,
                parameters,
                region=definition.region,
                keys=keys,
                names_sessions=None if finds_out else definition.names_sessions,
            )
        except UpstreamRefusedError as error:
            raise NothingMintedError(_refused(name, error)) from error
        except UpstreamUnreachableError as error:
            raise NothingMintedError(
                UpstreamUnavailable(
                    f"The upstream {name} cannot be reached.", detail=str(error)
                )
            ) from error
        except UpstreamUnclearError as error:
            raise UpstreamOutcomeUnknown(
                f"The upstream {name} did not answer; it may have issued credentials.",
                detail=str(error),
            ) from error
        return UpstreamMint(
            credentials=TemporaryCredentials(
                access_key_id=credentials.access_key_id,
                secret_access_key=credentials.secret_access_key,
                session_token=credentials.session_token,
                expiration=credentials.expiration,
            ),
            packed_policy_size=credentials.packed_policy_size,
            principal_arn=order.principal_arn,
            upstream=name,
            endpoint=definition.endpoint,
            arn=credentials.arn,
            user_id=credentials.user_id,
            seconds_ahead=credentials.seconds_ahead,
            is_named=credentials.is_named,
        )

    async def try_out(
        self, engine: UpstreamRole, account: Account, role: Role, now: datetime
    ) -> UpstreamMint:
        """Request a fifteen-minute session, only to see whether it works.

        Raises:
            NothingMintedError, UpstreamOutcomeUnknown: as `mint` does.
        """
        name = "broker-upstreams-test"
        user = assumed_role_user(role.account, role, name)
        order = UpstreamOrder(
            subject=role.arn,
            principal_arn=user["Arn"],
            session_name=name,
            duration_seconds=_LEAST_SECONDS,
            now=now,
        )
        return await self.mint(engine, account, order, finds_out=True)

    async def end_older_sessions(
        self,
        upstream: Upstream,
        account: Account,
        role_arns: Iterable[str],
        now: datetime,
    ) -> AsyncIterator[tuple[str, UpstreamRefused | None]]:
        """Have roles there deny everything to sessions from before now.

        Gives the ARN of each role once it does, or with why it was refused.

        Raises:
            UpstreamRefused, UpstreamUnavailable, UpstreamOutcomeUnknown: those that
                are left were not asked.
        """
        name = upstream.name
        try:
            definition = parse_upstream(upstream.definition)
        except UpstreamRejected as error:
            raise UpstreamRefused(
                f"The upstream {name} cannot be read.", detail=str(error)
            ) from error
        revocation = definition.revocation
        if revocation is None:
            raise UpstreamRefused(f"The upstream {name} has no Revocation.")
        subject = iam_arn(account.account_id, f"upstream/{name}")
        engine = UpstreamRole(
            upstream=upstream, definition=definition, role_arn=revocation.role
        )
        order = UpstreamOrder(
            subject=subject,
            principal_arn=subject,
            session_name="broker-sessions-revoke",
            duration_seconds=_LEAST_SECONDS,
            now=now,
        )
        try:
            minted = await self.mint(engine, account, order)
        except NothingMintedError as error:
            raise error.error from error.__cause__
        made = minted.credentials
        keys = KeyPair(
            access_key_id=made.access_key_id,
            secret_access_key=made.secret_access_key,
            session_token=made.session_token.reveal(),
        )
        # Sessions are dated by the clock there.
        ahead = min(max(minted.seconds_ahead, 0), _SKEW_SECONDS_MAX)
        policy = deny_older_sessions(now + timedelta(seconds=ahead))
        for arn in role_arns:
            refused: UpstreamRefused | None = None
            try:
                await self._client.deny_older(
                    account.account_id,
                    revocation.endpoint,
                    arn.rpartition("/")[2],
                    policy,
                    region=revocation.region,
                    keys=keys,
                )
            except UpstreamRefusedError as error:
                refused = _refused(name, error)
            except (UpstreamUnreachableError, UpstreamUnclearError) as error:
                raise UpstreamUnavailable(
                    f"The upstream {name} did not confirm it.", detail=str(error)
                ) from error
            yield arn, refused

    async def signin_token(
        self, engine: UpstreamRole, keys: KeyPair, duration_seconds: int | None = None
    ) -> str:
        """A sign-in token of the upstream, for credentials that it gave.

        Raises:
            UpstreamRefused, UpstreamUnavailable: there is none.
        """
        definition, name = engine.definition, engine.upstream.name
        if definition.sign_in is None:
            raise UpstreamRefused(f"The upstream {name} has no console.")
        try:
            return await self._client.signin_token(
                engine.upstream.account, definition.sign_in, keys, duration_seconds
            )
        except UpstreamRefusedError as error:
            raise _refused(name, error) from error
        except (UpstreamUnreachableError, UpstreamUnclearError) as error:
            raise UpstreamUnavailable(
                f"The upstream {name} returned no link to its console.",
                detail=str(error),
            ) from error

    def login_url(
        self,
        definition: UpstreamDefinition,
        token: str,
        issuer: str,
        destination: str = "",
    ) -> str:
        """The link for a sign-in token of the upstream; ``destination`` if it is there."""
        return login_url(
            definition.sign_in or "",
            token,
            destination or definition.console or "",
            definition.issuer or issuer,
        )

    async def _question(
        self, engine: UpstreamRole, account: Account, order: UpstreamOrder
    ) -> tuple[dict[str, str], KeyPair | None]:
        definition = engine.definition
        parameters = {"DurationSeconds": str(order.duration_seconds)}
        parameters.update(_policies(order))
        if definition.method == "WebIdentity":
            parameters |= {
                "Action": "AssumeRoleWithWebIdentity",
                "RoleArn": engine.role_arn,
                "RoleSessionName": order.session_name,
                "WebIdentityToken": self._token(definition, account, order),
            }
            return parameters, None
        keys = await self._keys(engine.upstream)
        chains = definition.method == "AssumeRole"
        if definition.passes_tags:
            parameters.update(_tags(order.tags, chains=chains))
        if not chains:
            if keys.session_token:
                raise UpstreamUnavailable(
                    f"The upstream {engine.upstream.name} cannot be called.",
                    detail="federation tokens need the key pair of a user, and the"
                    " broker's credentials are temporary",
                )
            parameters |= {
                "Action": "GetFederationToken",
                "Name": shorten(order.session_name, _FEDERATED_NAME_MAX),
            }
            return parameters, keys
        if keys.session_token:
            # Roles that are assumed with temporary credentials last an hour.
            seconds = min(order.duration_seconds, _CHAINED_SECONDS_MAX)
            parameters["DurationSeconds"] = str(seconds)
        if definition.passes_source_identity and order.source_identity:
            parameters["SourceIdentity"] = order.source_identity
        parameters |= {
            "Action": "AssumeRole",
            "RoleArn": engine.role_arn,
            "RoleSessionName": order.session_name,
        }
        return parameters, keys

    async def _keys(self, upstream: Upstream) -> KeyPair:
        if upstream.sealed_secret is None:
            try:
                return await self._ambient.find()
            except AmbientCredentialsError as error:
                raise UpstreamUnavailable(
                    f"The upstream {upstream.name} cannot be called.", detail=str(error)
                ) from error
        purpose, column = UPSTREAM_SEAL
        try:
            secret = self._opener.open_sealed(
                purpose, upstream.account, upstream.name, column, upstream.sealed_secret
            )
        except SealBrokenError as error:
            raise ServiceUnavailable(detail=str(error)) from error
        return KeyPair(
            access_key_id=upstream.access_key_id,
            secret_access_key=Secret(secret.decode()),
        )

    def _token(
        self, definition: UpstreamDefinition, account: Account, order: UpstreamOrder
    ) -> str:
        """A token of the account's issuer about the role; see the recipe."""
        outbound = find_outbound(account)
        if outbound is None or not outbound.enabled:
            raise OutboundFederationDisabled(
                "OutboundWebIdentityFederation is disabled.",
                detail="the upstream asks for a token of this account's issuer",
            )
        key = outbound.find_signing(Algorithm.RS256, order.now)
        if key is None:
            raise ServiceUnavailable(detail="no key signs yet")
        claims: dict[str, object] = {
            "iss": issuer_of(self._public_origin, account.account_id),
            "sub": order.subject,
            "aud": definition.audience,
            "iat": int(order.now.timestamp()),
            "exp": int((order.now + _TOKEN_LIFE).timestamp()),
            "jti": new_request_id(),
        }
        if definition.passes_tags and order.tags.tags:
            claims[_TAGS_CLAIM] = {
                "principal_tags": {k: [v] for k, v in order.tags.tags.items()},
                "transitive_tag_keys": sorted(order.tags.transitive_keys),
            }
        if definition.passes_source_identity and order.source_identity:
            claims[_SOURCE_IDENTITY_CLAIM] = order.source_identity
        try:
            return sign(account.account_id, key, self._opener, claims)
        except SealBrokenError as error:
            raise ServiceUnavailable(detail=str(error)) from error


def _policies(order: UpstreamOrder) -> dict[str, str]:
    results = {} if order.policy is None else {"Policy": order.policy}
    for number, arn in enumerate(order.policy_arns, 1):
        if Arn.parse(arn).account != _AWS:
            raise ValidationError(
                f"{arn} is a policy of this account, which the upstream behind the role"
                " does not have. Pass it as Policy."
            )
        results[f"PolicyArns.member.{number}.arn"] = arn
    return results


def _tags(tags: SessionTags, *, chains: bool) -> dict[str, str]:
    results = {}
    for number, (key, value) in enumerate(tags.tags.items(), 1):
        results[f"Tags.member.{number}.Key"] = key
        results[f"Tags.member.{number}.Value"] = value
    if chains:
        for number, key in enumerate(sorted(tags.transitive_keys), 1):
            results[f"TransitiveTagKeys.member.{number}"] = key
    return results


def _refused(name: str, error: UpstreamRefusedError) -> UpstreamRefused:
    return UpstreamRefused(
        f"The upstream {name} refused: {error.code}.",
        detail=json.dumps({"Code": error.code, "Message": str(error)[:900]}),
    )
