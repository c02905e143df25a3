"""What machines call: registration, and requests for their role's credentials."""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import datetime
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from broker.actions.action import Action, Call, Proof, needs_nothing
from broker.actions.sts.role_mint import RoleMinter, RoleRequest
from broker.actions.sts.roles import role_needs
from broker.errors import (
    AccessDenied,
    InvalidClientTokenId,
    InvalidPublicKey,
    NoSuchEntity,
    ProofUsed,
    SignatureDoesNotMatch,
)
from broker.kinds import instances as rules
from broker.kinds.accounts import require_account
from broker.kinds.bearer_tokens import token_digest
from broker.model.account import AccountId
from broker.model.entities import Role
from broker.model.federated import FederatedIdentity
from broker.model.lineage import Lineage, Trace, lineage_row, read_lineage
from broker.model.machines import Instance, InstanceProfile
from broker.model.session import SessionKind
from broker.permit.need import Need, Trust
from broker.proofs.certified import find_certificate_end
from broker.proofs.web_identity import require_allowed_role
from broker.protocols.oidc.jwks import is_small_order
from broker.sessions.lineage import (
    find_end,
    lineage_of_admission,
    lineage_of_machine,
    lineage_of_proof,
    list_origins,
    subject_target,
    trace_machine,
    trace_token,
)
from broker.sessions.resolve import find_join_token_end
from broker.sessions.tags import NO_TAGS
from broker.stores.directory.identities import find_instance_by_key, find_join_token
from broker.stores.directory.kinds import INSTANCE, INSTANCE_PROFILE, ROLE
from broker.stores.directory.readings import FreshDirectory

if TYPE_CHECKING:
    from broker.model.types import broker as types


CREDENTIAL_SECONDS = 6 * 3600
"""As EC2's; the role's ``MaxSessionDuration`` does not limit what a service takes up.

Source: IAM User Guide, id_roles_use, "Update the maximum session duration".
"""

_ANCHORS = "arn:aws:rolesanywhere:"
_BY_TOKEN = "RegisterInstanceWithWebIdentity"  # noqa: S105  # an operation's name

_NO_KEY = "PublicKey must be the 32 bytes of an Ed25519 public key, in base64."

POLL_SECONDS = 2
"""How often a machine asks whether its profile changed, at least."""

_POLLS_PER_SECOND = 1000
"""Of all machines of an account: with more machines each asks less often."""

_ID_DIGITS = 17


class Machines:
    """The handlers, with what they need."""

    def __init__(
        self, fresh: FreshDirectory, minter: RoleMinter, associations: Associations
    ) -> None:
        self._fresh = fresh
        self._minter = minter
        self._associations = associations

    def actions(self) -> tuple[Action, ...]:
        """The declarations."""
        return (
            Action(
                service="broker",
                name="RegisterInstance",
                proof=Proof.JOIN_TOKEN,
                needs=needs_nothing,
                handle=self._register,
                writes=True,
                holds=_find_other_accounts,
                audited=("PublicKey", "Region"),
            ),
            Action(
                service="broker",
                name=_BY_TOKEN,
                proof=Proof.MACHINE_TOKEN,
                needs=self._needs_trust,
                handle=self._register_with_identity,
                writes=True,
                audited=("InstanceProfileArn", "PublicKey", "Region"),
            ),
            Action(
                service="broker",
                name="GetInstanceAssociation",
                proof=Proof.INSTANCE,
                needs=needs_nothing,
                handle=self._get_association,
                audited=("InstanceArn",),
                calls=0,
                counted=True,
            ),
            Action(
                service="broker",
                name="GetInstanceCredentials",
                proof=Proof.INSTANCE,
                needs=self._needs_role,
                handle=self._get_credentials,
                audited=("InstanceArn", "RoleDelivery", "DurationSeconds"),
            ),
        )

    async def _register(
        self, params: types.RegisterInstanceRequest, call: Call
    ) -> types.RegisterInstanceResponse:
        token = await find_join_token(
            call.change, call.account, token_digest(params["JoinToken"])
        )
        if token is None:
            raise InvalidClientTokenId(detail="the join token was deleted just now")
        # Asked again, in the change itself: a machine stays longer than what admits it.
        if end := await find_join_token_end(token, call.change):
            raise AccessDenied(detail=end)
        made_from = read_lineage(token.lineage)
        if end := await find_certificate_end(made_from, self._fresh, call.now):
            raise AccessDenied(detail=end)
        provider_id, subject = _certified(made_from)
        instance = await rules.register_with_token(
            call.change,
            await require_account(call.change, call.account),
            token,
            _read_key(params["PublicKey"]),
            region=params.get("Region", call.region),
            now=call.now,
            lineage=_admission_row(made_from, token.account, token.created_at)
            if token.lineage
            else (),
            provider_id=provider_id,
            subject=subject,
        )
        await _write_origins(instance, call)
        return {"InstanceAssociation": await self._admitted(instance, call)}

    async def _register_with_identity(
        self, params: types.RegisterInstanceWithWebIdentityRequest, call: Call
    ) -> types.RegisterInstanceWithWebIdentityResponse:
        identity = call.federated
        _refuse_tokens_that_end(identity)
        profile = await self._profile(params["InstanceProfileArn"], call)
        if profile is None:
            raise AccessDenied(detail="the instance profile was deleted just now")
        if end := await find_end(_trace_identity(identity, call), call.change):
            raise AccessDenied(detail=end)
        made_from = lineage_of_proof(identity, call.now)
        origin = made_from.origin
        subject = " ".join((subject_target(origin.subject), *origin.targets))
        targets = (*origin.targets, identity.provider_arn, identity.provider_id)
        made_from = replace(made_from, origin=replace(origin, targets=targets))
        public_key = _read_key(params["PublicKey"])
        instance = await find_instance_by_key(call.change, call.account, public_key)
        if instance is None or instance.subject != subject:
            instance = await rules.register_instance(
                call.change,
                await require_account(call.change, call.account),
                public_key,
                profile_id=profile.profile_id,
                registered_by=identity.provider_arn,
                region=params.get("Region", call.region),
                now=call.now,
                lineage=_admission_row(made_from, call.account, call.now),
                provider_id=identity.provider_id,
                subject=subject,
            )
            await _write_origins(instance, call)
        return {"InstanceAssociation": await self._admitted(instance, call)}

    async def _needs_trust(
        self, params: types.RegisterInstanceWithWebIdentityRequest, call: Call
    ) -> tuple[Need, ...]:
        profile = await self._profile(params["InstanceProfileArn"], call)
        role = None
        if profile is not None and profile.role_id is not None:
            role = await self._fresh.find(ROLE, call.account, profile.role_id)
        if role is not None:
            require_allowed_role(call.federated, role.arn)
        return (
            Need(
                action=f"broker:{_BY_TOKEN}",
                resource=role.arn if role else params["InstanceProfileArn"],
                account=call.account,
                trust=Trust(role=role),
            ),
        )

    async def _get_association(
        self, _given: types.GetInstanceAssociationRequest, call: Call
    ) -> types.GetInstanceAssociationResponse:
        association = await self._find(call)
        return {"InstanceAssociation": await self._associations.shown(association)}

    async def _needs_role(
        self, _given: types.GetInstanceCredentialsRequest, call: Call
    ) -> tuple[Need, ...]:
        association = await self._find(call)
        if association.role is None:
            raise NoSuchEntity(
                f"The instance {association.instance.instance_id} has no instance profile"
                " with a role."
            )
        role = association.role
        return role_needs(
            "sts:AssumeRole",
            {"RoleArn": role.arn, "RoleSessionName": association.instance.instance_id},
            role,
            tags=NO_TAGS,
            source_identity=None,
            context={},
        )

    async def _get_credentials(
        self, params: types.GetInstanceCredentialsRequest, call: Call
    ) -> types.GetInstanceCredentialsResponse:
        association = await self._find(call)
        instance = association.instance
        # A change of another account may have ended it, of which no memory here tells.
        if len(trace_machine(instance)) > 1 and not await call.directory.count(
            INSTANCE, instance.account, instance_id=instance.instance_id
        ):
            raise InvalidClientTokenId(detail="the instance was ended")
        made_from = read_lineage(instance.lineage)
        if end := await find_certificate_end(made_from, self._fresh, call.now):
            raise AccessDenied(
                "The certificate that this instance was registered with opens nothing"
                " any more.",
                detail=end,
            )
        order = RoleRequest(
            kind=SessionKind.ASSUME_ROLE,
            role=call.trusted_role,
            session_name=instance.instance_id,
            tags=NO_TAGS,
            source_identity=None,
            lineage=lineage_of_machine(instance),
            seconds=params.get("DurationSeconds", CREDENTIAL_SECONDS),
            context={
                "ec2:sourceinstancearn": (instance.arn,),
                "ec2:roledelivery": (params.get("RoleDelivery", "2.0"),),
            },
        )
        try:
            _, answer = await self._minter.mint({}, call, order)
        except ProofUsed as error:
            raise SignatureDoesNotMatch(
                "This signed request was used before; sign a new one."
            ) from error
        return {
            "Credentials": answer["Credentials"],
            "InstanceAssociation": await self._associations.shown(association),
        }

    async def _find(self, call: Call) -> Association:
        instance = await self._fresh.find(
            INSTANCE, call.account, call.caller.access_key_id
        )
        if instance is None:
            raise InvalidClientTokenId(detail="the instance was ended just now")
        if end := await find_end(trace_machine(instance), self._fresh):
            raise InvalidClientTokenId(detail=end)
        return await self._associations.find(instance)

    async def _admitted(
        self, instance: Instance, call: Call
    ) -> types.InstanceAssociation:
        """What a machine learns of its registration, before that is committed."""
        call.record.add_resource(instance.arn)
        association = Association(instance, None, None)
        if instance.profile_id is not None:
            profile = await call.change.find(
                INSTANCE_PROFILE, call.account, instance.profile_id
            )
            association = Association(instance, profile, None)
        return await self._associations.shown(association)

    async def _profile(self, arn: str, call: Call) -> InstanceProfile | None:
        """The instance profile of exactly this ARN."""
        profile = await call.directory.named(
            INSTANCE_PROFILE, call.account, arn.rpartition("/")[2]
        )
        return profile if profile is not None and profile.arn == arn else None


def _refuse_tokens_that_end(identity: FederatedIdentity) -> None:
    """Refuse tokens of which something must end that a machine would outlive."""
    if identity.replay_id is not None:
        raise AccessDenied(
            f"Tokens of {identity.provider_arn} can be used once, for a session;"
            " register with a join token."
        )
    if identity.sealed_lineage:
        raise AccessDenied(
            "A token that the broker issued to a session cannot register an instance,"
            " which would outlive the session; register with a join token."
        )


def _trace_identity(identity: FederatedIdentity, call: Call) -> tuple[Trace, ...]:
    """What revocations may name of a machine that a provider admits now."""
    return trace_token(
        lineage_of_proof(identity, call.now),
        call.account,
        int(call.now.timestamp() * 1000),
        providers=(identity.provider_id,),
    )


async def _find_other_accounts(
    params: types.RegisterInstanceRequest, call: Call
) -> list[AccountId]:
    """Those besides the token's own in which a revocation may end what it admits."""
    digest = token_digest(params["JoinToken"])
    token = await find_join_token(call.directory, call.account, digest)
    if token is None:
        return []
    created_ms = int(token.created_at.timestamp() * 1000)
    traces = trace_token(read_lineage(token.lineage), token.account, created_ms)
    return [entry.account for entry in traces if entry.account != token.account]


def _certified(made_from: Lineage) -> tuple[str, str]:
    """The trust anchor and the subject of the certificate that a token comes from.

    Both are empty if the token was not made with a certificate.
    """
    origin = made_from.origin
    anchors = (target for target in origin.targets if target.startswith(_ANCHORS))
    anchor = next(anchors, "")
    return anchor, subject_target(origin.subject) if anchor else ""


def _admission_row(
    made_from: Lineage, account: AccountId, made_at: datetime
) -> tuple[object, ...]:
    """What a machine comes from, as it is stored."""
    made_ms = int(made_at.timestamp() * 1000)
    return tuple(lineage_row(lineage_of_admission(made_from, account, made_ms)))


async def _write_origins(instance: Instance, call: Call) -> None:
    """What it comes from, so that revocations find the machine."""
    origins = list_origins(instance)
    await call.change.write_origins(instance.account, instance.instance_id, origins)


def _read_key(text: str) -> bytes:
    """The 32 bytes of an Ed25519 public key."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidPublicKey(_NO_KEY) from error
    if len(key) != rules.KEY_BYTES or is_small_order(key):
        raise InvalidPublicKey(_NO_KEY)
    return key


class Association(Struct, frozen=True):
    """A machine with its instance profile and the role in that, if any."""

    instance: Instance
    profile: InstanceProfile | None
    role: Role | None

    @property
    def association_id(self) -> str:
        """Another one after every change that the machine must know of."""
        profile_id = self.profile.profile_id if self.profile else ""
        role = f"{self.role.role_id} {self.role.arn}" if self.role else ""
        text = f"{self.instance.arn} {profile_id} {role}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        return f"iip-assoc-{digest[:_ID_DIGITS]}"


class Associations:
    """Looks them up in the worker's memory."""

    def __init__(self, fresh: FreshDirectory) -> None:
        self._fresh = fresh

    async def find(self, instance: Instance) -> Association:
        """The machine's association as it is now."""
        profile, role = None, None
        account = instance.account
        if instance.profile_id is not None:
            profile = await self._fresh.find(
                INSTANCE_PROFILE, account, instance.profile_id
            )
        if profile is not None and profile.role_id is not None:
            role = await self._fresh.find(ROLE, account, profile.role_id)
        return Association(instance, profile, role)

    async def shown(self, association: Association) -> types.InstanceAssociation:
        """What the machine receives."""
        instance = association.instance
        view: types.InstanceAssociation = {
            "InstanceId": instance.instance_id,
            "InstanceArn": instance.arn,
            "AssociationId": association.association_id,
            "PollSeconds": await self._poll_seconds(instance.account),
        }
        if association.profile is not None:
            view["InstanceProfileArn"] = association.profile.arn
            view["InstanceProfileId"] = association.profile.profile_id
        if association.role is not None:
            view["RoleName"] = association.role.name
            view["RoleArn"] = association.role.arn
        return view

    async def _poll_seconds(self, account: AccountId) -> int:
        count = await self._fresh.count(INSTANCE, account)
        return max(POLL_SECONDS, count // _POLLS_PER_SECOND)
