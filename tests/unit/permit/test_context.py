"""Every call brings the condition keys of the table, and no others."""

from datetime import UTC, datetime

import pytest
from msgspec import structs
from msgspec.structs import replace

from broker.errors import ValidationError
from broker.model.account import AccountId
from broker.model.principal import Principal, PrincipalType
from broker.model.session import Caller, Session, SessionKind
from broker.permit.context import call_context, resource_context
from broker.policy import find_context_key
from broker.policy.context import KeyType
from tests.support.raw import raw_request
from tests.support.rows import of_file, rows

ACCOUNT = AccountId("123456789012")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ISSUED = int(NOW.timestamp()) - 90
RAW = raw_request(
    headers=((b"user-agent", b"boto3"), (b"referer", b"https://a.example/")),
    source_ip="203.0.113.9",
    secure=True,
)
BARE = replace(RAW, headers=(), secure=False)

ROOT = Caller(principal=Principal.root(ACCOUNT))
USER = Caller(
    principal=Principal.user(ACCOUNT, user_id="AIDAX", path="/t/", name="ann"),
    principal_tags={"Team": "blue"},
)
SESSION = Session(
    access_key_id="ASIAX",
    account=ACCOUNT,
    kind=SessionKind.WEB_IDENTITY,
    principal_id="AROAX",
    name="job",
    issued_at_ms=ISSUED * 1000,
    expires_at=ISSUED + 3600,
    source_identity="ann",
    provider_arn=f"arn:aws:iam::{ACCOUNT}:oidc-provider/i.example",
    identity_context={"i.example:sub": ("subject",)},
)
ROLE = Caller(
    principal=Principal.role_session(
        ACCOUNT, role_id="AROAX", path="/p/", role_name="R", session_name="job"
    ),
    session=SESSION,
)
FEDERATED = Caller(
    principal=Principal.federated_user(ACCOUNT, name="bob", issuer=None),
    session=structs.replace(
        SESSION,
        kind=SessionKind.FEDERATION_TOKEN,
        provider_arn=None,
        source_identity=None,
        identity_context={},
    ),
)
UNSIGNED = Caller(
    principal=Principal.from_provider(
        PrincipalType.SAML,
        ACCOUNT,
        provider=f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp",
        subject="ann",
    ),
    context={"saml:aud": ("https://signin.aws.amazon.com/saml",)},
)
TASK = structs.replace(SESSION, kind=SessionKind.ROOT_TASK)
CALLERS = {
    "root": ROOT,
    "user": USER,
    "role": ROLE,
    "mfa": structs.replace(ROLE, session=structs.replace(SESSION, mfa_at=ISSUED)),
    "federated": FEDERATED,
    "unsigned": UNSIGNED,
    "task": structs.replace(ROLE, session=TASK),
}

ALWAYS = of_file(__file__, "ALWAYS")
ISSUED_AT = {"aws:tokenissuetime": ("2026-03-01T11:58:30Z",)}
SIGNED = {"aws:principalisawsservice": ("false",)}
OWN = of_file(__file__, "OWN")


@pytest.mark.parametrize("name", OWN)
def test_each_kind_of_caller_brings_exactly_its_keys(name: str) -> None:
    context = call_context(CALLERS[name], RAW, region="eu-west-3", now=NOW)
    assert context == {**ALWAYS, **OWN[name]}


def test_headers_that_are_not_sent_are_absent() -> None:
    context = call_context(ROOT, BARE, region="eu-west-3", now=NOW)
    assert not {"aws:useragent", "aws:referer"} & set(context)
    assert context["aws:securetransport"] == ("false",)


def test_a_session_that_proved_mfa_says_so_and_since_when() -> None:
    context = call_context(CALLERS["mfa"], RAW, region="eu-west-3", now=NOW)
    assert context["aws:multifactorauthpresent"] == ("true",)
    assert context["aws:multifactorauthage"] == ("90",)


def test_a_root_task_says_so() -> None:
    context = call_context(CALLERS["task"], RAW, region="eu-west-3", now=NOW)
    assert context["aws:assumedroot"] == ("true",)


@pytest.mark.parametrize("name", CALLERS)
def test_every_key_stands_in_the_table_with_values_of_its_type(name: str) -> None:
    context = call_context(CALLERS[name], RAW, region="eu-west-3", now=NOW)
    for key, values in context.items():
        entry = find_context_key(key)
        assert entry is not None, key
        assert entry.multivalued or len(values) == 1
        if entry.type is KeyType.BOOLEAN:
            assert set(values) <= {"true", "false"}
        if entry.type is KeyType.NUMERIC:
            assert all(value.isdigit() for value in values)


@rows("resource, there")
def test_a_resource_brings_its_owner(resource: str, *, there: bool) -> None:
    expected = {"aws:resourceaccount": (ACCOUNT,)} if there else {}
    assert resource_context(resource, ACCOUNT) == expected


@pytest.mark.parametrize("header", [b"user-agent", b"referer"])
def test_a_header_is_no_longer_than_a_value_may_be(header: bytes) -> None:
    longest = replace(RAW, headers=((header, b"a" * 4096),))
    assert call_context(USER, longest, region="eu-west-3", now=NOW)
    longer = replace(RAW, headers=((header, b"a" * 4097),))
    with pytest.raises(ValidationError, match="4097 characters; it can have 4096"):
        call_context(USER, longer, region="eu-west-3", now=NOW)
