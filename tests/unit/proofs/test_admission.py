"""Whom revocations leave out, of those who bring a valid proof."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from broker.errors import ExpiredFederationToken, IdpRejectedClaim
from broker.model.entities import Role
from broker.model.federated import FederatedIdentity
from broker.model.lineage import subject_digest
from broker.model.principal import Principal, PrincipalType
from broker.model.revocation import BARRED_MS, Revocations
from broker.proofs.admission import Admission
from broker.proofs.diagnosis import NOT_REVOKED, OIDC_STAGES, State, diagnose
from broker.sessions.lineage import (
    person_target,
    provider_session_target,
    source_identity_target,
    subject_target,
)
from tests.support.provisioned import ACCOUNT, AT, PROVIDER, People

ISSUER = "https://idp.example.com"
ARN = f"arn:aws:iam::{ACCOUNT}:oidc-provider/idp.example.com"
LATER = AT + timedelta(seconds=60)
ALICE = FederatedIdentity(
    principal=Principal.from_provider(
        PrincipalType.WEB_IDENTITY, ACCOUNT, provider=ARN, subject="alice"
    ),
    account=ACCOUNT,
    provider_arn=ARN,
    provider_id=PROVIDER,
    issuer=ISSUER,
    subject="alice",
    issued_at=AT,
    person="SCMU1",
    provider_session="s-1",
    source_identity="ana",
)
SUBJECT = subject_target(subject_digest(ISSUER, "alice"))


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


async def admit(
    marks: dict[str, int], identity: FederatedIdentity = ALICE
) -> FederatedIdentity:
    people = People(revoked=Revocations(not_before_ms=marks))
    return await Admission(people).admit(identity, None, LATER)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "target",
    [
        SUBJECT,
        person_target("SCMU1"),
        provider_session_target(ISSUER, "s-1"),
        source_identity_target("ana"),
    ],
)
async def test_what_was_issued_before_the_mark_is_refused(target: str) -> None:
    with pytest.raises(ExpiredFederationToken) as refused:
        await admit({target: milliseconds(AT) + 1})
    assert "Get a new identity token" in refused.value.message
    failed = diagnose(OIDC_STAGES, refused.value)[-1]
    assert (failed.title, failed.state) == (NOT_REVOKED, State.FAILED)
    assert await admit({target: milliseconds(AT)}) == ALICE


@pytest.mark.parametrize(
    "target",
    [
        subject_target(subject_digest(ISSUER, "bob")),
        subject_target(subject_digest("https://other.example", "alice")),
        provider_session_target(ISSUER, "s-2"),
        ACCOUNT,
        ARN,
        PROVIDER,
    ],
)
async def test_others_marks_refuse_nothing(target: str) -> None:
    """Those of an account or a provider are of sessions: a new one may begin."""
    assert await admit({target: milliseconds(LATER)}) == ALICE


async def test_all_of_a_whole_second_counts_as_before_a_mark_within_it() -> None:
    with pytest.raises(ExpiredFederationToken):
        await admit({SUBJECT: milliseconds(AT) + 500})
    exact = replace(ALICE, issued_at=AT + timedelta(milliseconds=700))
    assert await admit({SUBJECT: milliseconds(AT) + 500}, exact) == exact


async def test_an_assertion_has_its_own_words() -> None:
    by_assertion = Principal.from_provider(
        PrincipalType.SAML, ACCOUNT, provider=ARN, subject="alice"
    )
    with pytest.raises(ExpiredFederationToken, match="Response has expired"):
        await admit(
            {SUBJECT: milliseconds(LATER)}, replace(ALICE, principal=by_assertion)
        )


@pytest.mark.parametrize("issued_at", [AT, None])
async def test_who_is_barred_is_refused_whatever_they_bring(issued_at: Any) -> None:
    with pytest.raises(IdpRejectedClaim) as refused:
        await admit({SUBJECT: BARRED_MS}, replace(ALICE, issued_at=issued_at))
    assert refused.value.detail == f"revoked: 'alice' of {ISSUER} is barred"


async def test_a_certificate_has_its_own_words() -> None:
    arn = f"arn:aws:rolesanywhere:eu-west-3:{ACCOUNT}:subject/s"
    principal = Principal.aws_service(
        ACCOUNT, service="rolesanywhere.amazonaws.com", arn=arn, name="CN=alice"
    )
    with pytest.raises(ExpiredFederationToken, match=r"Certificate revoked\."):
        await admit({SUBJECT: milliseconds(LATER)}, replace(ALICE, principal=principal))


@pytest.mark.parametrize(
    ("subject", "after_ms", "opens"),
    [("alice", 1, ["web"]), ("alice", 0, ["boss", "web"]), ("bob", 1, ["boss", "web"])],
)
async def test_a_token_from_before_a_role_was_lost_does_not_open_it(
    subject: str, after_ms: int, opens: list[str]
) -> None:
    roles = {
        name: Role(
            account=ACCOUNT,
            role_id=f"AROA-{name}",
            name=name,
            path="/",
            trust_policy="{}",
            created_at=AT,
        )
        for name in ("boss", "web")
    }
    arns = tuple(role.arn for role in roles.values())
    person = subject_target(subject_digest(ISSUER, subject))
    lost = {person: {"AROA-boss": milliseconds(AT) + after_ms, "AROA-deleted": 9**15}}
    people = People(
        revoked=Revocations(roles=lost),
        roles={role.role_id: role for role in roles.values()},
    )
    identity = replace(ALICE, group_roles=arns, closed_roles=frozenset({"other"}))
    left = await Admission(people).without_lost_roles(identity)  # type: ignore[arg-type]
    assert [arn.rpartition("/")[2] for arn in left.group_roles] == opens
    assert left.closed_roles == {"other", *arns} - set(left.group_roles)


async def test_a_password_that_is_right_now_is_no_older_proof() -> None:
    """The mark may lie a moment ahead, for workers that have not heard of it."""
    fresh = replace(ALICE, issued_at=None)
    assert await admit({SUBJECT: milliseconds(LATER) + 2000}, fresh) == fresh
