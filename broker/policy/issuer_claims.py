"""The claims of known issuers that AWS makes condition keys of.

They are there for the trust policy at the call of the token; none lives on in the
session. An issuer with a name in braces stands for every issuer with any one label or
segment there.

Source: Service Authorization Reference, "Condition keys for AWS Security Token
Service"; IAM User Guide, "Available keys for AWS OIDC federation".
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct

from broker.policy.context import (
    CONTEXT_KEYS,
    DIRECTORY_KEYS,
    ISSUER_CLAIMS,
    ContextKey,
    KeySource,
    KeyType,
)
from broker.runtime.bounded import remembered

_NO_CLAIMS: Mapping[str, KeyType] = MappingProxyType({})


class KnownIssuers(Struct, frozen=True):
    """Issuers of one kind, as host and path, and their claims."""

    title: str
    issuers: tuple[str, ...]
    claims: Mapping[str, KeyType]


def _texts(*names: str) -> Mapping[str, KeyType]:
    return MappingProxyType(dict.fromkeys(names, KeyType.STRING))


KNOWN_ISSUERS = (
    KnownIssuers(
        "GitHub Actions",
        (
            "token.actions.githubusercontent.com",
            "token.actions.githubusercontent.com/{enterprise}",
            "token.actions.{domain}.ghe.com",
            "github.com/enterprises/{enterprise}",
        ),
        _texts(
            "actor",
            "actor_id",
            "enterprise_id",
            "environment",
            "job_workflow_ref",
            "ref",
            "repository",
            "repository_id",
            "repository_owner_id",
            "workflow",
        ),
    ),
    KnownIssuers(
        "GitLab.com",
        ("gitlab.com",),
        _texts(
            "namespace_id",
            "pipeline_source",
            "project_id",
            "ref_protected",
            "runner_environment",
            "user_access_level",
            "user_email",
            "user_id",
            "user_login",
        ),
    ),
    KnownIssuers(
        "CircleCI",
        ("oidc.circleci.com/org/{organization}",),
        _texts("oidc.circleci.com/project-id"),
    ),
    KnownIssuers(
        "Buildkite",
        (
            "agent.buildkite.com",
            "agent.{domain}.buildkite.dev",
            "agent.{domain}.buildkite.site",
        ),
        _texts(
            "build_branch",
            "cluster_id",
            "cluster_name",
            "organization_id",
            "organization_slug",
            "pipeline_id",
            "pipeline_slug",
        ),
    ),
    KnownIssuers(
        "Google",
        ("accounts.google.com",),
        MappingProxyType({"google/organization_number": KeyType.NUMERIC}),
    ),
    KnownIssuers(
        "Oracle Cloud Infrastructure",
        ("idcs-{identifier}.identity.oraclecloud.com",),
        _texts("rpst_id"),
    ),
)


def _pattern(issuer: str) -> str:
    return re.sub(r"\\\{\w+\\\}", "[^/:]+", re.escape(issuer))


_PATTERNS = tuple(
    (re.compile("|".join(map(_pattern, known.issuers))), known.claims)
    for known in KNOWN_ISSUERS
)


@remembered()
def known_claims(issuer: str) -> Mapping[str, KeyType]:
    """The claims of an issuer, host and path, that are keys without being asked for."""
    lowered = issuer.lower()
    return next(
        (claims for pattern, claims in _PATTERNS if pattern.fullmatch(lowered)),
        _NO_CLAIMS,
    )


def find_context_key(name: str) -> ContextKey | None:
    """What the tables know about a key, tags and claims included."""
    lowered = name.lower()
    context_key = CONTEXT_KEYS.get(lowered)
    if context_key is not None:
        return context_key
    prefix, slash, _ = lowered.partition("/")
    if slash and f"{prefix}/*" in CONTEXT_KEYS:
        return CONTEXT_KEYS[f"{prefix}/*"]
    issuer, _, claim = lowered.rpartition(":")
    if "." not in issuer and ":" not in issuer:
        # The name of an LDAP provider has neither, and no prefix of AWS's keys.
        is_reserved = any(key.startswith(f"{issuer}:") for key in CONTEXT_KEYS)
        return None if is_reserved or not issuer else DIRECTORY_KEYS.get(claim)
    known = known_claims(issuer).get(claim)
    if known is not None:
        return ContextKey(
            f"{issuer}:{claim}", known, KeySource.PROOF, "the call of the token only"
        )
    return ISSUER_CLAIMS.get(claim)
