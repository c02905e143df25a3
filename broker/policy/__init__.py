"""The IAM policy language: parse, evaluate, explain. Pure, no I/O.

A library in itself::

    document = parse_policy(text, PolicyKind.IDENTITY)
    policies = compile_policies([("inline:Read", document)])
    request = AccessRequest("s3:GetObject", "arn:aws:s3:::b/k", principal, context)
    decision = authorize(request, ApplicablePolicies(identity=policies))

The stages are modules: `strict_json` and `grammar` (text to document), `new_policy`
(what a text must be to be stored), `document`
(what a policy is), `wildcard`, `variables`, `arn_pattern`, `principal`, `conditions`
(the pieces), `compiled` (ready to decide), `evaluate` (the algorithm), `decision`
and `explain` (the answer).
"""

from broker.policy.compiled import ALLOW_ALL, PolicySet, compile_policies, join_policies
from broker.policy.context import (
    CONTEXT_KEYS,
    DIRECTORY_KEYS,
    ContextKey,
    KeySource,
    KeyType,
)
from broker.policy.could_be_allowed import could_be_allowed
from broker.policy.decision import Decision, PolicyType, StatementRef
from broker.policy.document import (
    Condition,
    Effect,
    PolicyDocument,
    PolicyKind,
    Principals,
    Statement,
    policy_size,
    print_policy,
)
from broker.policy.errors import PolicyRejected, RejectionReason, TooMuchWork
from broker.policy.evaluate import (
    AccessRequest,
    ApplicablePolicies,
    Check,
    authorize,
    authorize_trust,
    decide,
    matched_statements,
    no_check,
    prepare,
)
from broker.policy.explain import Closest, Element, Explanation, explain
from broker.policy.grammar import parse_policy
from broker.policy.issuer_claims import find_context_key, known_claims
from broker.policy.new_policy import parse_new_policy
from broker.policy.referenced_keys import context_keys
from broker.policy.shared_issuers import check_shared_issuers
from broker.policy.strict_json import load_document
from broker.policy.work import VALUE_CHARACTERS_MAX, VALUES_MAX

__all__ = [
    "ALLOW_ALL",
    "CONTEXT_KEYS",
    "DIRECTORY_KEYS",
    "VALUES_MAX",
    "VALUE_CHARACTERS_MAX",
    "AccessRequest",
    "ApplicablePolicies",
    "Check",
    "Closest",
    "Condition",
    "ContextKey",
    "Decision",
    "Effect",
    "Element",
    "Explanation",
    "KeySource",
    "KeyType",
    "PolicyDocument",
    "PolicyKind",
    "PolicyRejected",
    "PolicySet",
    "PolicyType",
    "Principals",
    "RejectionReason",
    "Statement",
    "StatementRef",
    "TooMuchWork",
    "authorize",
    "authorize_trust",
    "check_shared_issuers",
    "compile_policies",
    "context_keys",
    "could_be_allowed",
    "decide",
    "explain",
    "find_context_key",
    "join_policies",
    "known_claims",
    "load_document",
    "matched_statements",
    "no_check",
    "parse_new_policy",
    "parse_policy",
    "policy_size",
    "prepare",
    "print_policy",
]
