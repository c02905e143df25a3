"""The algorithm: an explicit deny wins, then every policy type involved must allow.

Held against IAM User Guide, "Policy evaluation logic", and recorded trust decisions
(REC-A, REC-S saml_trust_aws):

1. A Deny that matches in any policy ends it.
2. Every layer of resource controls and of service controls must allow.
3. Same account: a resource policy that names the user or session itself is enough;
   one that names the role needs boundary and session policies to agree; otherwise
   identity policies, boundary and every session layer must allow.
4. Other account: the resource policy and the whole identity side must allow.
5. A role's trust policy must allow in any case.

What could take too long to decide is not decided: ``TooMuchWork`` (`work`).
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from broker.model.principal import Principal, PrincipalType
from broker.policy.compiled import Candidates, CompiledStatement, PolicySet
from broker.policy.decision import Decision, PolicyType, StatementRef
from broker.policy.principal import PrincipalGrant
from broker.policy.work import SMALL_WORK, require_bounded

Check = Callable[[], None]
"""What is called between statements; what it raises ends the decision."""

_OF_NO_ACCOUNT = frozenset({PrincipalType.ANONYMOUS, PrincipalType.SERVICE})
_CONTROLS = (PolicyType.RESOURCE_CONTROL, PolicyType.SERVICE_CONTROL)
_WITHOUT_IDENTITY = _OF_NO_ACCOUNT | {
    kind for kind in PrincipalType if kind.is_federated
}


class AccessRequest(Struct, frozen=True):
    """One request: may ``principal`` do ``action`` to ``resource``?

    ``context`` maps lower-case condition keys to their values: dates in ISO 8601,
    ``true`` and ``false``, decimal numbers. Absent keys are not in the mapping.
    ``resource`` is an ARN, or ``*`` for an action without resources.
    """

    action: str
    resource: str
    principal: Principal
    context: Mapping[str, tuple[str, ...]] = {}


class ApplicablePolicies(Struct, frozen=True, kw_only=True):
    """The policies that apply to a request; None means "no policy of this type".

    ``identity`` is None for callers that cannot have identity policies (unsigned and
    anonymous callers, services); a user without any policy has an empty set. Each
    layer of ``session``, ``service_controls`` and ``resource_controls`` must allow.
    ``resource_account`` is the account that owns the resource, None when it is the
    caller's own.
    """

    identity: PolicySet | None = None
    boundary: PolicySet | None = None
    session: tuple[PolicySet, ...] = ()
    resource: PolicySet | None = None
    resource_account: str | None = None
    service_controls: tuple[PolicySet, ...] = ()
    resource_controls: tuple[PolicySet, ...] = ()


def no_check() -> None:
    """Let a decision take its time."""


def authorize(
    request: AccessRequest, applicable: ApplicablePolicies, check: Check = no_check
) -> Decision:
    """Decide a request for a resource that may or may not have a policy.

    Raises:
        TooMuchWork: the policies and the request are too large together.
    """
    return decide(prepare(request, applicable, PolicyType.RESOURCE), check)


def authorize_trust(request: AccessRequest, applicable: ApplicablePolicies) -> Decision:
    """Decide whether a principal may take on a role.

    ``applicable.resource`` is the role's trust policy and ``resource_account`` the
    role's account. Identity policies alone never suffice.

    Raises:
        TooMuchWork: the policies and the request are too large together.
    """
    return decide(prepare(request, applicable, PolicyType.TRUST))


def matched_statements(
    request: AccessRequest, policies: PolicySet, *, bounded: bool
) -> tuple[StatementRef, ...]:
    """All statements of a set that match the request, Deny or Allow.

    ``bounded`` says whether the principal has a permissions boundary.
    """
    candidates = policies.candidates(request.action)
    statements = candidates.denies + candidates.allows
    return _matching(statements, request, no_check, bounded=bounded)


class _Verdict(Struct, frozen=True):
    """What one set says: the first Allow (if any) and how closely it names."""

    grant: PrincipalGrant
    refs: tuple[StatementRef, ...]


_SILENT = _Verdict(PrincipalGrant.NONE, ())


class Prepared(Struct, frozen=True):
    """A decision about to be made; ``work`` is what it takes at most, in units.

    ``layers`` have the statements whose action matches.
    """

    request: AccessRequest
    applicable: ApplicablePolicies
    resource_type: PolicyType
    layers: list[tuple[PolicyType, Candidates]]
    work: int


def decide(prepared: Prepared, check: Check = no_check) -> Decision:
    """Make the decision, unless ``check`` ends it."""
    request, applicable = prepared.request, prepared.applicable
    resource_type, layers = prepared.resource_type, prepared.layers
    bounded = applicable.boundary is not None
    for policy_type, candidates in layers:
        if candidates.denies and (
            refs := _matching(candidates.denies, request, check, bounded=bounded)
        ):
            return Decision(
                allowed=False,
                explicit_deny=True,
                policy_type=policy_type,
                statements=refs,
            )
    granted: tuple[StatementRef, ...] = ()
    resource = identity = _SILENT
    silent: set[PolicyType] = set()
    for policy_type, candidates in layers:
        verdict = _first_allow(candidates.allows, request, check)
        granted += verdict.refs
        if policy_type is resource_type:
            resource = verdict
        elif policy_type is PolicyType.IDENTITY:
            identity = verdict
        elif verdict.grant is PrincipalGrant.NONE:
            silent.add(policy_type)
    for policy_type in _CONTROLS if silent else ():
        if policy_type in silent:
            return _implicit(policy_type)
    return _combine(
        request,
        applicable,
        resource_type,
        granted,
        resource=resource,
        identity=identity,
        silent=silent,
    )


def prepare(
    request: AccessRequest,
    applicable: ApplicablePolicies,
    resource_type: PolicyType,
    *,
    exact: bool = False,
) -> Prepared:
    """Find the statements about the action, and what comparing them takes.

    Unless it is to be ``exact``, little work is not told from what is within the bound.

    Raises:
        TooMuchWork: the policies and the request are too large together.
    """
    action = request.action
    work = 0
    layers = []
    for policy_type, policies in _layers(applicable, resource_type):
        candidates = policies.candidates(action)
        work += candidates.work
        layers.append((policy_type, candidates))
    if exact or work > SMALL_WORK:
        statements = (s.work for _, f in layers for s in f.denies + f.allows)
        work = require_bounded(statements, request.resource, request.context)
    return Prepared(request, applicable, resource_type, layers, work)


def _matching(
    statements: tuple[CompiledStatement, ...],
    request: AccessRequest,
    check: Check,
    *,
    bounded: bool,
) -> tuple[StatementRef, ...]:
    refs = []
    for statement in statements:
        if _grant(statement, request, bounded=bounded) is not PrincipalGrant.NONE:
            refs.append(statement.ref)
        check()
    return tuple(refs)


def _combine(
    request: AccessRequest,
    applicable: ApplicablePolicies,
    resource_type: PolicyType,
    granted: tuple[StatementRef, ...],
    *,
    resource: _Verdict,
    identity: _Verdict,
    silent: set[PolicyType],
) -> Decision:
    principal = request.principal
    owner = applicable.resource_account
    same_account = owner is None or owner == principal.account
    has_identity = principal.type not in _WITHOUT_IDENTITY
    # A provider opens roles of its own account only; other callers without identity
    # policies belong to no account.
    resource_suffices = same_account or principal.type in _OF_NO_ACCOUNT
    if resource_suffices and resource.grant is PrincipalGrant.DIRECT:
        return Decision(
            allowed=True, policy_type=resource_type, statements=resource.refs
        )
    resource_needed = not same_account or resource_type is PolicyType.TRUST
    if resource_needed and resource.grant is PrincipalGrant.NONE:
        if resource_type is PolicyType.TRUST or not has_identity:
            return _implicit(resource_type)
        side = _identity_side(identity, silent)
        return _implicit(side or resource_type)
    if not has_identity:
        return _implicit(resource_type)
    if same_account and resource.grant is PrincipalGrant.ROLE:
        identity = resource
    refusing = _identity_side(identity, silent)
    if refusing is not None:
        return _implicit(refusing)
    deciding = resource_type if identity is resource else PolicyType.IDENTITY
    return Decision(allowed=True, policy_type=deciding, statements=granted)


def _identity_side(identity: _Verdict, silent: set[PolicyType]) -> PolicyType | None:
    """The first type on the identity side that does not allow; None when all do."""
    if identity.grant is PrincipalGrant.NONE:
        return PolicyType.IDENTITY
    if PolicyType.BOUNDARY in silent:
        return PolicyType.BOUNDARY
    return PolicyType.SESSION if PolicyType.SESSION in silent else None


def _implicit(policy_type: PolicyType) -> Decision:
    return Decision(allowed=False, policy_type=policy_type)


def _layers(
    applicable: ApplicablePolicies, resource_type: PolicyType
) -> list[tuple[PolicyType, PolicySet]]:
    """The sets that have a say, in the order in which AWS evaluates them."""
    layers: list[tuple[PolicyType, PolicySet]] = []
    if applicable.resource_controls:
        layers += [
            (PolicyType.RESOURCE_CONTROL, policies)
            for policies in applicable.resource_controls
        ]
    if applicable.service_controls:
        layers += [
            (PolicyType.SERVICE_CONTROL, policies)
            for policies in applicable.service_controls
        ]
    if applicable.resource is not None:
        layers.append((resource_type, applicable.resource))
    if applicable.identity is not None:
        layers.append((PolicyType.IDENTITY, applicable.identity))
    if applicable.boundary is not None:
        layers.append((PolicyType.BOUNDARY, applicable.boundary))
    if applicable.session:
        layers += [(PolicyType.SESSION, policies) for policies in applicable.session]
    return layers


def _first_allow(
    statements: tuple[CompiledStatement, ...], request: AccessRequest, check: Check
) -> _Verdict:
    """The Allow that names the principal most closely."""
    best = _SILENT
    for statement in statements:
        grant = _grant(statement, request)
        if grant is PrincipalGrant.DIRECT:
            return _Verdict(grant, (statement.ref,))
        if grant > best.grant:
            best = _Verdict(grant, (statement.ref,))
        check()
    return best


def _grant(
    statement: CompiledStatement, request: AccessRequest, *, bounded: bool = False
) -> PrincipalGrant:
    context = request.context
    resource = statement.resource
    if resource is not None and not resource(request.resource, context):
        return PrincipalGrant.NONE
    principal = statement.principal
    grant = PrincipalGrant.DIRECT
    if principal is not None:
        grant = principal.grant(request.principal, bounded=bounded)
    if grant is PrincipalGrant.NONE:
        return grant
    for holds in statement.conditions:
        if not holds(context):
            return PrincipalGrant.NONE
    return grant
