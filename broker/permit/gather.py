"""Gathers the policies that apply, compiling each once per change.

Identity policies, boundaries and managed session policies are read live: a change
affects existing sessions. Inline session policies are compiled once per text.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from broker.errors import AccessDenied
from broker.kinds.accounts import accepts_unlisted_policies
from broker.kinds.control_policies import FULL_ACCESS, ControlKind, control_policies
from broker.kinds.managed_policies import find_aws_managed, unlisted_policy
from broker.kinds.resource_policies import PolicyHolders
from broker.model.account import AccountId
from broker.model.arn import Arn
from broker.model.entities import ManagedPolicy, PolicyInForce, Role
from broker.model.principal import PrincipalType
from broker.model.session import Caller, Session, SessionKind, SessionPolicies
from broker.policy import (
    ALLOW_ALL,
    PolicyDocument,
    PolicyKind,
    PolicyRejected,
    PolicySet,
    compile_policies,
    join_policies,
    parse_policy,
)
from broker.policy.catalogue import AWS_MANAGED_PREFIX
from broker.runtime.bounded import SHARED
from broker.runtime.offload import LONG_POLICY, Steps, offload_steps
from broker.runtime.shares import give_way
from broker.stores.directory.kinds import ACCOUNT, RESOURCE_POLICY, ROLE, USER
from broker.stores.directory.readings import (
    GROUP_IDS,
    POLICIES_OF,
    RESOURCE_POLICY_ARNS,
    FreshDirectory,
)

_NOTHING = compile_policies(())
ACCOUNT_SETTING = compile_policies(
    [
        (
            "account setting",
            parse_policy(
                '{"Version":"2012-10-17","Statement":[{"Effect":"Allow",'
                '"Principal":"*","Action":"iam:*","Resource":"*"}]}',
                PolicyKind.RESOURCE,
            ),
        )
    ]
)
"""What a setting of the account permits: the need itself says what that is."""
_PRINCIPALS_OF_THE_ACCOUNT = frozenset(
    {
        PrincipalType.ACCOUNT,
        PrincipalType.USER,
        PrincipalType.ASSUMED_ROLE,
        PrincipalType.FEDERATED_USER,
    }
)
_OWNERS = frozenset({PrincipalType.USER, PrincipalType.ASSUMED_ROLE})
"""Callers whose policies depend only on their unique ids."""


class OwnPolicies(NamedTuple):
    """What an account has given a principal, and what limits that."""

    identity: PolicySet | None
    boundary: PolicySet | None
    service_controls: tuple[PolicySet, ...]


class PolicyLibrary:
    """Compiled policies of principals, roles and sessions."""

    def __init__(self, fresh: FreshDirectory) -> None:
        self._fresh = fresh

    async def own(self, caller: Caller) -> OwnPolicies:
        """The caller's policies, but for those of the session."""
        principal = caller.principal

        async def load() -> OwnPolicies:
            return OwnPolicies(
                identity=await self.identity(caller),
                boundary=await self.boundary(caller),
                service_controls=await self.service_controls(caller),
            )

        if principal.type not in _OWNERS:
            return await load()
        return await self._fresh.memo.get(
            principal.account, ("own", principal.unique_id), load
        )

    async def identity(self, caller: Caller) -> PolicySet | None:
        """What the caller's own policies say; None for one that has none at all."""
        principal = caller.principal
        match principal.type:
            case PrincipalType.ACCOUNT:
                return ALLOW_ALL
            case PrincipalType.USER | PrincipalType.ASSUMED_ROLE:
                return await self._owned(principal.account, principal.unique_id)
            case PrincipalType.FEDERATED_USER if caller.session is not None:
                return await self._issuer(caller.session)
            case _:
                return None

    async def boundary(self, caller: Caller) -> PolicySet | None:
        """The permissions boundary of the caller's user or role, if one is set."""
        account = caller.account
        unique_id = caller.principal.unique_id
        arn: str | None = None
        if caller.principal.type is PrincipalType.ASSUMED_ROLE:
            role = await self._fresh.find(ROLE, account, unique_id)
            arn = role.boundary_arn if role else None
        elif caller.principal.type is PrincipalType.USER:
            user = await self._fresh.find(USER, account, unique_id)
            arn = user.boundary_arn if user else None
        elif caller.session is not None and caller.session.principal_id != account:
            # A federated user has no more than the user who made it.
            user = await self._fresh.find(USER, account, caller.session.principal_id)
            arn = user.boundary_arn if user else None
        if arn is None:
            return None
        return await self._managed(account, arn, PolicyKind.BOUNDARY)

    async def session(self, caller: Caller) -> tuple[PolicySet, ...]:
        """The session's layers, each of which must allow.

        A federation token without policies allows nothing by itself.
        """
        session = caller.session
        if session is None:
            return ()
        if session.kind is SessionKind.FEDERATION_TOKEN and not session.policies:
            return (_NOTHING,)
        layers = [
            await self._layer(session.account, policies)
            for policies in session.policies
        ]
        if session.kind is SessionKind.ROOT_TASK:
            # AWS's task policies only deny; the root may do what they leave.
            return tuple(
                layer if layer is _NOTHING else join_policies([layer, ALLOW_ALL])
                for layer in layers
            )
        return tuple(layers)

    async def service_controls(self, caller: Caller) -> tuple[PolicySet, ...]:
        """What the operator lets the caller's account do at all; root included.

        Unsigned callers belong to no account, so none applies to them.
        """
        if caller.principal.type not in _PRINCIPALS_OF_THE_ACCOUNT:
            return ()
        return await self.controls(caller.account, ControlKind.SERVICE)

    async def controls(
        self, account_id: AccountId, kind: ControlKind
    ) -> tuple[PolicySet, ...]:
        """What the operator lets an account, or others do with what it has.

        That is its roles, and the resources of its registered services.
        """

        async def load() -> tuple[PolicySet, ...]:
            account = await self._fresh.find(ACCOUNT, account_id)
            listed = () if account is None else control_policies(account, kind)
            if not listed:
                return ()
            texts = [(policy.name, policy.text) for policy in listed]
            sets = [await _ready(*text, kind.grammar) for text in texts]
            if kind is ControlKind.RESOURCE:
                full = ("RCPFullAWSAccess", FULL_ACCESS)
                sets.append(_compile([full], PolicyKind.CONTROL))
            for policies in sets:
                policies.charge_to(account_id)
            return (_charged(account_id, join_policies(sets)),)

        return await self._fresh.memo.get(account_id, kind, load)

    async def of_role(self, role: Role) -> tuple[PolicySet, tuple[PolicySet, ...]]:
        """A role's trust policy, and what the operator lets others do with the role."""
        account, text, memo = role.account, role.trust_policy, self._fresh.memo
        key = "trust", role.role_id

        async def compile_trust() -> PolicySet:
            label = f"the trust policy of {role.arn}"
            return _charged(
                account, await _ready(label, role.trust_policy, PolicyKind.TRUST)
            )

        async def load() -> tuple[PolicySet, tuple[PolicySet, ...]]:
            trust = await memo.keep(account, key, text, compile_trust)
            return trust, await self.controls(account, ControlKind.RESOURCE)

        # The role may have been read before a change: its text is part of the key.
        return await memo.get(account, (*key, hash(text)), load)

    async def of_resource(
        self, account: AccountId, arn: str
    ) -> tuple[PolicySet | None, tuple[PolicySet, ...]]:
        """A resource's policies, and what the operator lets others do with it.

        The policies are those of a registered service's resource and of what it is part
        of; None when there are none.
        """

        async def load_shared() -> tuple[PolicyHolders, tuple[PolicySet, ...]]:
            arns = await self._fresh.read(account, RESOURCE_POLICY_ARNS)
            controls = await self.controls(account, ControlKind.RESOURCE)
            return PolicyHolders(arns), controls

        memo = self._fresh.memo
        holders, controls = await memo.get(account, "resources", load_shared)
        holding = holders.find(arn)
        if not holding:
            return None, controls

        async def load() -> PolicySet:
            policies = [await self._resource_policy(account, text) for text in holding]
            if len(policies) == 1:
                return policies[0]
            return _charged(account, join_policies(policies))

        return await memo.get(account, ("resource", holding), load), controls

    async def _resource_policy(self, account: AccountId, arn: str) -> PolicySet:
        """The policy of one resource, compiled once for all that is below it."""
        policy = await self._fresh.find(RESOURCE_POLICY, account, arn)
        if policy is None:
            return _NOTHING  # deleted just now
        return await self._compiled(account, arn, policy.document, PolicyKind.RESOURCE)

    async def _compiled(
        self, account: AccountId, label: str, text: str, kind: PolicyKind
    ) -> PolicySet:
        # AWS's are compiled once for all accounts: some take a megabyte.
        holder = SHARED if find_aws_managed(label) else account

        async def load() -> PolicySet:
            return _charged(holder, await _ready(label, text, kind))

        return await self._fresh.memo.keep(AccountId(holder), (label, kind), text, load)

    async def _issuer(self, session: Session) -> PolicySet:
        if session.principal_id == session.account:
            return ALLOW_ALL
        return await self._owned(session.account, session.principal_id)

    async def _owned(self, account: AccountId, owner_id: str) -> PolicySet:
        async def load() -> PolicySet:
            inline: list[tuple[str, str]] = []
            attached: list[str] = []
            groups = await self._fresh.read(account, GROUP_IDS, owner_id)
            for text in (owner_id, *groups):
                listed, arns = await self._fresh.read(account, POLICIES_OF, text)
                inline += [(f"inline:{p.name}", p.document) for p in listed]
                attached += arns
            parts = [await self._inline(account, owner_id, inline)]
            # A policy attached both to the user and to a group counts once.
            parts += [
                await self._managed(account, arn, PolicyKind.IDENTITY)
                for arn in dict.fromkeys(attached)
            ]
            return _charged(account, join_policies(parts))

        return await self._fresh.memo.get(account, ("identity", owner_id), load)

    async def _inline(
        self, account: AccountId, owner_id: str, policies: list[tuple[str, str]]
    ) -> PolicySet:
        texts = tuple(dict.fromkeys(policies))

        async def load() -> PolicySet:
            parts = [await _ready(*text, PolicyKind.IDENTITY) for text in texts]
            return _charged(
                account, parts[0] if len(parts) == 1 else join_policies(parts)
            )

        return await self._fresh.memo.keep(account, ("inline", owner_id), texts, load)

    async def _layer(self, account: AccountId, layer: SessionPolicies) -> PolicySet:
        ids = layer.policy_ids or ("",) * len(layer.policy_arns)
        parts = [
            await self._compiled(
                account,
                arn,
                await self._session_document(account, arn, policy_id),
                PolicyKind.SESSION,
            )
            for arn, policy_id in zip(layer.policy_arns, ids, strict=True)
        ]
        if layer.policy is not None:
            parts.append(await self._session_policy(account, layer.policy))
        match parts:
            case []:
                return _NOTHING
            case [only]:
                return only
            case _:
                return join_policies(parts)

    async def _session_policy(self, account: AccountId, text: str) -> PolicySet:
        async def load() -> PolicySet:
            policies = await _ready("session", text, PolicyKind.SESSION)
            return _charged(account, policies)

        key = "session", hash(text)
        return await self._fresh.memo.keep(account, key, text, load)

    async def _managed(
        self, account: AccountId, arn: str, kind: PolicyKind
    ) -> PolicySet:
        text = await self._document(account, arn)
        return await self._compiled(account, arn, text, kind)

    async def _unlisted(self, account_id: AccountId, arn: str) -> ManagedPolicy | None:
        """The AWS-managed policy that is one by name only, where that is accepted."""
        policy = unlisted_policy(arn)
        if policy is None:
            return None
        account = await self._fresh.find(ACCOUNT, account_id)
        accepted = account is not None and accepts_unlisted_policies(account)
        return policy if accepted else None

    async def _document(self, account: AccountId, arn: str) -> str:
        """The text of a managed policy in force.

        Raises:
            AccessDenied: there is no such policy (any more): what cannot be read
                must not be passed over, it may hold a Deny.
        """
        aws = find_aws_managed(arn) or await self._unlisted(account, arn)
        if aws is not None:
            return aws.default_version.document
        return (await self._in_force(account, arn)).document

    async def _session_document(
        self, account: AccountId, arn: str, policy_id: str
    ) -> str:
        """The text of the very policy that a session was given.

        Raises:
            AccessDenied: as `_document`; another of its ARN is not that one.
        """
        if arn.startswith(AWS_MANAGED_PREFIX):
            return await self._document(account, arn)
        policy = await self._in_force(account, arn)
        if policy.arn != arn or policy_id not in {"", policy.policy_id}:
            raise AccessDenied(detail=f"the policy {arn} is another one by now")
        return policy.document

    async def _in_force(self, account: AccountId, arn: str) -> PolicyInForce:
        name = Arn.parse(arn).resource.rpartition("/")[2]
        policy = await self._fresh.policy_in_force(account, name)
        if policy is None:
            raise AccessDenied(detail=f"the policy {arn} no longer exists")
        return policy


async def _ready(label: str, text: str, kind: PolicyKind) -> PolicySet:
    """A policy with all its statements compiled.

    Compiling one takes milliseconds, and a principal can have more than a hundred, so
    other calls run in between.
    """
    await give_way()
    if len(text) > LONG_POLICY:
        return await offload_steps(_compile_in_steps(label, text, kind))
    policies = _compile_one(label, text, kind)
    deque(policies.statements(), maxlen=0)
    return policies


def _compile_in_steps(label: str, text: str, kind: PolicyKind) -> Steps[PolicySet]:
    policies = _compile_one(label, text, kind)
    for _ in policies.statements():
        yield
    return policies


def _compile(texts: Iterable[tuple[str, str]], kind: PolicyKind) -> PolicySet:
    return compile_policies([(label, _parse(label, t, kind)) for label, t in texts])


def _compile_one(label: str, text: str, kind: PolicyKind) -> PolicySet:
    return _compile([(label, text)], kind)


def _charged(account: str, policies: PolicySet) -> PolicySet:
    """A set that counts as memory of the account, as long as anything holds it."""
    policies.charge_to(account)
    return policies


def _parse(label: str, text: str, kind: PolicyKind) -> PolicyDocument:
    """A stored policy's document.

    Raises:
        AccessDenied: it does not parse. It was checked when it was written, so the
            row was tampered with or written by something else: deny, and say so.
    """
    try:
        return parse_policy(text, kind)
    except PolicyRejected as error:
        raise AccessDenied(detail=f"the policy {label} is broken: {error}") from error
