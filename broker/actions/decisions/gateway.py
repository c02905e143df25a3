"""What a gateway asks that verifies signatures itself: keys to do so, and who is who.

``broker:DeriveSigningKey`` returns a signing key, with which the gateway can verify (and
could make) one principal's signatures for one day, region and scope of its service. So it
is a permission of its own, which no service token gives. Only keys of principals in the
service's own account are derived: a service of another account may accept a scope of the
same name. The key of a session is given only to a caller that presents the session token.

None of this counts as a use of the key: anyone who knows its ID can make a gateway ask.
Each worker records the first derivation a day of the same key.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from broker.actions.action import Action, Call
from broker.actions.decisions.authorize import Authorizer, service_needs
from broker.actions.decisions.declare import SERVICE
from broker.audit.decisions import FIRST_USE, DecisionLog
from broker.audit.entry import AuditEntry
from broker.errors import InvalidClientTokenId, ValidationError
from broker.model.account import TEMPORARY_KEY_PREFIX, AccountId, find_account_of_key_id
from broker.model.principal import PrincipalType
from broker.model.registered import RegisteredService
from broker.model.request import Params
from broker.permit.need import Need
from broker.proofs.sigv4 import SignatureScheme
from broker.protocols.enforcement import RESERVED
from broker.protocols.sigv4 import derive_signing_key
from broker.sessions.lineage import find_end, trace
from broker.stores.cache.port import Cache
from broker.stores.directory.kinds import ROLE, USER
from broker.stores.directory.readings import FreshDirectory

GATEWAY_SERVICE = "s3"
"""The service that gateways ask for: their actions are S3's, and so is the prefix."""

NAMES_MAX = 500
"""Access key IDs or principals of one call; the protocol's reader holds it to that."""

_PAST = timedelta(days=7)
"""A presigned URL of S3 is good for seven days, for the day on which it was signed."""

_FUTURE = timedelta(minutes=15)
_DATE = re.compile(r"[0-9]{8}")
_SESSION_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,64}")
_FEDERATED_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{2,32}")


class Scope(Struct, frozen=True, kw_only=True):
    """What a signing key is for: a day (``20261127``), a region and a service."""

    date: str
    region: str
    service: str


class KnownKey(Struct, frozen=True, kw_only=True):
    """The owner of an access key; ``principal_arn`` is empty if there is none."""

    principal_arn: str = ""
    is_session: bool = False


class GatewayActions:
    """The actions, with what they need."""

    def __init__(
        self,
        authorizer: Authorizer,
        signatures: SignatureScheme,
        fresh: FreshDirectory,
        cache: Cache,
        log: DecisionLog,
    ) -> None:
        self._authorizer = authorizer
        self._signatures = signatures
        self._fresh = fresh
        self._cache = cache
        self._log = log

    def actions(self) -> tuple[Action, ...]:
        """The declarations. They have no rate limit: that would stop a service."""
        return tuple(
            Action(
                service=SERVICE,
                name=name,
                needs=_may_derive if name == "DeriveSigningKey" else _may_ask,
                handle=handle,
                calls=0,
                counted=True,
            )
            for name, handle in (
                ("GetGatewayProtocol", self._describe),
                ("DeriveSigningKey", self._derive),
                ("ResolveAccessKeys", self._resolve_keys),
                ("ResolvePrincipals", self._resolve_principals),
            )
        )

    async def _describe(self, _given: Params, call: Call) -> Mapping[str, Any]:
        ready = await self._authorizer.get_ready(GATEWAY_SERVICE, call)
        return {"Account": ready.service.account}

    async def _derive(self, params: Params, call: Call) -> Mapping[str, Any]:
        scope: Scope = params["Scope"]
        access_key_id: str = params["AccessKeyId"]
        token: str | None = params["SessionToken"]
        ready = await self._authorizer.get_ready(GATEWAY_SERVICE, call)
        compiled = ready.compiled
        if scope.service not in compiled.scopes or scope.service in RESERVED:
            raise ValidationError(
                f"{scope.service[:64]} is not a scope of the service."
            )
        if scope.region != compiled.region:
            raise ValidationError(f"The service's region is {compiled.region}.")
        _check_date(scope.date, call.now)
        key = await self._signatures.resolve(access_key_id, token, call.now)
        caller = key.caller
        if caller.account != ready.service.account:
            raise InvalidClientTokenId(detail="a principal of another account")
        principal = caller.principal
        is_role = principal.type is PrincipalType.ASSUMED_ROLE
        await self._keep_derived(
            ready.service, access_key_id, scope, principal.arn, call
        )
        return {
            "Key": derive_signing_key(
                key.secret.reveal(), scope.date, scope.region, scope.service
            ),
            "PrincipalArn": principal.arn,
            "RoleArn": principal.principal_arn if is_role else "",
        }

    async def _keep_derived(
        self,
        service: RegisteredService,
        access_key_id: str,
        scope: Scope,
        principal_arn: str,
        call: Call,
    ) -> None:
        """Record a derivation, unless this worker has one of the same key today."""
        entry = AuditEntry.of(call.request, f"{SERVICE}:DeriveSigningKey")
        entry.name_caller(call.caller)
        derived = f"{entry.caller_arn} {access_key_id} {scope.date} {scope.service}"
        if not self._log.is_first_use(service, derived, entry.action, call.now):
            return
        entry.region = call.region
        entry.resources = (service.arn, principal_arn)
        entry.decision, entry.reason = (
            call.record.decision,
            f"{call.record.reason} ({FIRST_USE})",
        )
        entry.parameters = {
            "AccessKeyId": access_key_id,
            "Date": scope.date,
            "Region": scope.region,
            "Service": scope.service,
        }
        await self._log.keep(entry)

    async def _resolve_keys(self, params: Params, call: Call) -> Mapping[str, Any]:
        ready = await self._authorizer.get_ready(GATEWAY_SERVICE, call)
        account = ready.service.account
        asked: list[str] = params["AccessKeyIds"]
        return {"Keys": [await self._get_key(text, account, call) for text in asked]}

    async def _get_key(self, key_id: str, account: AccountId, call: Call) -> KnownKey:
        if key_id.startswith(TEMPORARY_KEY_PREFIX):
            record = await self._cache.find_session(key_id)
            if (
                record is None
                or record.account != account
                or await find_end(trace(record), self._fresh)
            ):
                return KnownKey()
            return KnownKey(principal_arn=record.principal_arn, is_session=True)
        if find_account_of_key_id(key_id) != account:
            return KnownKey()
        try:
            key = await self._signatures.resolve(key_id, None, call.now)
        except InvalidClientTokenId:
            return KnownKey()
        return KnownKey(principal_arn=key.caller.principal.arn)

    async def _resolve_principals(
        self, params: Params, call: Call
    ) -> Mapping[str, Any]:
        ready = await self._authorizer.get_ready(GATEWAY_SERVICE, call)
        account = ready.service.account
        asked: list[str] = params["Principals"]
        return {
            "Invalid": [text for text in asked if not await self._exists(text, account)]
        }

    async def _exists(self, text: str, account: AccountId) -> bool:
        """Whether a resource's policy may name it, as it is spelled."""
        if text in {account, f"arn:aws:iam::{account}:root"}:
            return True
        kind, _, rest = text.partition("/")
        if kind == f"arn:aws:iam::{account}:user":
            user = await self._fresh.named(USER, account, rest.rpartition("/")[2])
            return user is not None and user.arn == text
        if kind == f"arn:aws:iam::{account}:role":
            role = await self._fresh.named(ROLE, account, rest.rpartition("/")[2])
            return role is not None and role.arn == text
        if kind == f"arn:aws:sts::{account}:federated-user":
            return _FEDERATED_NAME.fullmatch(rest) is not None
        if kind != f"arn:aws:sts::{account}:assumed-role":
            return False
        name, _, session = rest.partition("/")
        role = await self._fresh.named(ROLE, account, name)
        is_named = role is not None and role.name == name
        return is_named and _SESSION_NAME.fullmatch(session) is not None


def _check_date(date: str, now: datetime) -> None:
    """A key for a day to come would outlive what takes it away.

    Raises:
        ValidationError: the key would be for a day to come, or long ago.
    """
    first = (now - _PAST).strftime("%Y%m%d")
    last = (now + _FUTURE).strftime("%Y%m%d")
    if not _DATE.fullmatch(date) or not first <= date <= last:
        raise ValidationError("The date must be today or one of the seven days before.")


async def _may_ask(_given: Params, call: Call) -> tuple[Need, ...]:
    return service_needs(GATEWAY_SERVICE, call)


async def _may_derive(_given: Params, call: Call) -> tuple[Need, ...]:
    return service_needs(GATEWAY_SERVICE, call, "DeriveSigningKey")
