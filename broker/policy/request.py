"""The input of a policy decision: a request, and the policies that apply to it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from broker.model.principal import Principal
from broker.model.struct import struct
from broker.policy.compiled import PolicySet


class AccessRequest(NamedTuple):
    """One request: may ``principal`` do ``action`` to ``resource``?

    ``context`` maps lower-case condition keys to their values: dates in ISO 8601,
    ``true`` and ``false``, decimal numbers. Absent keys are not in the mapping.
    ``resource`` is an ARN, or ``*`` for an action without resources.
    """

    action: str
    resource: str
    principal: Principal
    context: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@struct
class ApplicablePolicies:
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
