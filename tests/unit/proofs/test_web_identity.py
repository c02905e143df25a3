from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec import Struct

from broker.errors import (
    BrokerError,
    ExpiredFederationToken,
    IdpCommunicationError,
    IdpRejectedClaim,
    InvalidIdentityToken,
)
from broker.model.account import AccountId
from broker.model.entities import OidcProvider
from broker.model.principal import PrincipalType
from broker.model.provisioned import Membership
from broker.proofs.addresses import AddressRules, parse_internal_issuers
from broker.proofs.admission import Admission
from broker.proofs.group_roles import offered_roles
from broker.proofs.issuer_keys import IssuerKeys
from broker.proofs.outbound import OutboundClient
from broker.proofs.web_identity import WIRE_ERRORS, WebIdentityProver, translate
from broker.protocols.oidc.aws_claims import ROLES_CLAIM, TAGS_CLAIM
from broker.protocols.oidc.claims import AWS_SKEW
from broker.protocols.oidc.rejection import OidcReason, OidcRejected
from broker.stores.directory.stored import Kind
from tests.support.oidc_issuer import OidcIssuer, serving
from tests.support.provisioned import NO_DIRECTORY, People, person
from tests.support.rows import cases

FIRST, SECOND = AccountId("111111111111"), AccountId("222222222222")
ROLE = f"arn:aws:iam::{FIRST}:role/Deploy"
ISSUER = OidcIssuer("https://Idp.example/Tenant")
SKEW = timedelta(seconds=60)


class Providers(Struct):
    """Providers by account and address."""

    known: dict[tuple[str, str], OidcProvider] = {}

    def register(
        self, issuer: OidcIssuer, account: AccountId = FIRST, **options: Any
    ) -> OidcProvider:
        options.setdefault("StaticJwks", issuer.jwks())
        if options["StaticJwks"] is None:
            del options["StaticJwks"]
        provider = OidcProvider(
            account=account,
            unique_id=f"OIDCP{account}",
            url=issuer.url,
            client_ids=("client-1",),
            thumbprints=(),
            created_at=datetime.now(UTC),
            options=options,
        )
        self.known[account, provider.host_and_path.lower()] = provider
        return provider

    async def named(
        self, _: Kind[OidcProvider], account: AccountId, host_and_path: str
    ) -> OidcProvider | None:
        """Without regard to case, to see that the prover has regard."""
        return self.known.get((account, host_and_path.lower()))


@pytest.fixture
def providers() -> Providers:
    return Providers()


@pytest.fixture
async def keys(clock: Any) -> AsyncIterator[IssuerKeys]:
    client = OutboundClient(AddressRules(), deadline_seconds=20)
    made = IssuerKeys(client, clock)
    yield made
    await made.close()


@pytest.fixture
def prover(providers: Providers, keys: IssuerKeys) -> WebIdentityProver:
    return WebIdentityProver(providers, keys, NO_DIRECTORY, skew=SKEW)


async def prove(prover: WebIdentityProver, token: str, **params: Any) -> Any:
    params.setdefault("account", FIRST)
    return await prover.prove(token, now=datetime.now(UTC), **params)


async def refusal(prover: WebIdentityProver, token: str, **params: Any) -> BrokerError:
    with pytest.raises(BrokerError) as caught:
        await prove(prover, token, **params)
    return caught.value


async def test_another_audience_is_refused_in_aws_s_words(
    prover: WebIdentityProver, providers: Providers
) -> None:
    providers.register(ISSUER)
    refused = await refusal(prover, ISSUER.token(aud="another"))
    assert isinstance(refused, InvalidIdentityToken)
    assert refused.words == "Incorrect token audience"


async def test_a_token_becomes_an_identity_in_aws_s_terms(
    prover: WebIdentityProver, providers: Providers
) -> None:
    provider = providers.register(ISSUER)
    token = ISSUER.token(
        email="a@b.example",
        amr=["otp"],
        azp="client-1",
        claims={
            TAGS_CLAIM: {
                "principal_tags": {"Team": ["red"]},
                "transitive_tag_keys": ["Team"],
            },
            "https://aws.amazon.com/source_identity": "alice",
        },
    )
    identity = await prove(prover, token, role_arn=ROLE)
    arn = f"arn:aws:iam::{FIRST}:oidc-provider/Idp.example/Tenant"
    assert identity.provider_arn == arn
    assert identity.provider_id == provider.unique_id
    assert identity.principal.type is PrincipalType.WEB_IDENTITY
    assert identity.principal.federated == identity.principal.userid == arn
    assert (identity.subject, identity.audience) == ("alice", "client-1")
    assert identity.issuer == "https://Idp.example/Tenant"
    assert identity.tags == {"Team": "red"}
    assert identity.transitive_keys == {"Team"}
    assert identity.source_identity == "alice"
    lasting = {
        "idp.example/tenant:aud": ("client-1",),
        "idp.example/tenant:sub": ("alice",),
        "idp.example/tenant:amr": ("otp",),
        "aws:federatedprovider": (arn,),
    }
    assert identity.session_context == lasting
    assert identity.context == {
        **lasting,
        "idp.example/tenant:email": ("a@b.example",),
        "idp.example/tenant:oaud": ("client-1",),
        "sts:roleauthorizedbyidp": ("false",),
    }
    assert identity.replay_id is None
    assert identity.session_ends_at is None


async def test_further_claims_are_keys_of_the_call_and_not_of_the_session(
    prover: WebIdentityProver, providers: Providers
) -> None:
    providers.register(ISSUER, ClaimKeys=["Groups"])
    token = ISSUER.token(claims={"Groups": ["a", "b"], "other": "x"})
    identity = await prove(prover, token)
    key = "idp.example/tenant:groups"
    assert identity.context[key] == ("a", "b")
    assert key not in identity.session_context
    assert not [name for name in identity.context if "other" in name]


async def test_a_token_with_an_unusable_claim_is_refused(
    prover: WebIdentityProver, providers: Providers
) -> None:
    providers.register(ISSUER, ClaimKeys=["groups"])
    error = await refusal(prover, ISSUER.token(claims={"groups": {}}))
    assert isinstance(error, InvalidIdentityToken)
    assert "groups" in error.detail


async def test_a_token_may_be_exchanged_again_unless_the_operator_says_once(
    prover: WebIdentityProver, providers: Providers
) -> None:
    providers.register(ISSUER)
    identity = await prove(prover, ISSUER.token(jti="again"))
    assert identity.replay_id is None
    assert identity.usable_until is None


async def test_condition_keys_of_absent_claims_are_absent(
    prover: WebIdentityProver, providers: Providers
) -> None:
    providers.register(ISSUER)
    identity = await prove(prover, ISSUER.token(email=5, amr={"a": 1}))
    assert set(identity.context) == {
        "idp.example/tenant:aud",
        "idp.example/tenant:sub",
        "aws:federatedprovider",
        "sts:roleauthorizedbyidp",
    }


async def test_the_roles_claim_opens_only_what_it_names(
    prover: WebIdentityProver, providers: Providers
) -> None:
    providers.register(ISSUER)
    naming = ISSUER.token(claims={ROLES_CLAIM: [ROLE]})
    identity = await prove(prover, naming, role_arn=ROLE)
    assert identity.context["sts:roleauthorizedbyidp"] == ("true",)
    for claim, role in [([ROLE], ROLE + "x"), ([], ROLE), ("", ROLE), (7, ROLE)]:
        token = ISSUER.token(claims={ROLES_CLAIM: claim})
        error = await refusal(prover, token, role_arn=role)
        assert isinstance(error, InvalidIdentityToken)
        assert error.message == (
            "The target role ARN is not present in the roles claim of the"
            " identity token"
        )


async def test_an_issuer_without_provider_in_this_account_is_named(
    prover: WebIdentityProver, providers: Providers
) -> None:
    providers.register(ISSUER, SECOND)
    error = await refusal(prover, ISSUER.token())
    assert isinstance(error, InvalidIdentityToken)
    assert error.message == (
        "No OpenIDConnect provider found in your account for https://Idp.example/Tenant"
    )


@cases("issuer")
async def test_a_directory_that_finds_by_looser_rules_is_not_followed(
    prover: WebIdentityProver, providers: Providers, issuer: str
) -> None:
    providers.register(ISSUER)
    error = await refusal(prover, ISSUER.token(iss=issuer))
    assert str(error.message).startswith("No OpenIDConnect provider found in your")


async def test_hostile_issuer_texts_are_not_echoed(prover: WebIdentityProver) -> None:
    for text, told in (
        ("https://a\x1b[31m\n<x>", "could not be validated"),
        ("https://\u202ea", "for https://"),
    ):
        error = await refusal(prover, ISSUER.token(iss=text))
        assert error.message is not None
        assert told in error.message
        assert text.partition("//")[2] not in error.message
    long = await refusal(prover, ISSUER.token(iss="https://" + "x" * 9000))
    assert long.message is not None
    assert len(long.message) < 400
    assert len(long.detail) < 400


async def test_one_time_use_spends_the_token_id(
    prover: WebIdentityProver, providers: Providers
) -> None:
    provider = providers.register(ISSUER, OneTimeUse=True)
    end = 2_000_000_000
    identity = await prove(prover, ISSUER.token(jti="once", exp=end))
    assert identity.replay_id == (provider.unique_id, ISSUER.url, "once")
    assert identity.usable_until == datetime.fromtimestamp(end, UTC) + 2 * SKEW
    error = await refusal(prover, ISSUER.token())
    assert error.message == "Missing a required claim: jti"


async def test_a_spent_token_is_remembered_for_as_long_as_its_profile_takes_it(
    prover: WebIdentityProver, providers: Providers
) -> None:
    """AWS's leeway is longer than what else would be remembered."""
    providers.register(ISSUER, OneTimeUse=True, Profile="aws")
    end = 2_000_000_000
    identity = await prove(prover, ISSUER.token(jti="once", exp=end))
    assert identity.usable_until == datetime.fromtimestamp(end, UTC) + 2 * AWS_SKEW


async def test_two_accounts_with_one_issuer_and_different_keys_never_meet(
    prover: WebIdentityProver, providers: Providers
) -> None:
    other = OidcIssuer(ISSUER.url)
    other.add_key("key-1", number=5)
    providers.register(ISSUER, FIRST)
    providers.register(other, SECOND)
    for _ in ("cold", "warm"):
        assert await prove(prover, ISSUER.token(), account=FIRST)
        assert await prove(prover, other.token(), account=SECOND)
        await refusal(prover, other.token(), account=FIRST)
        await refusal(prover, ISSUER.token(), account=SECOND)


async def test_internal_issuers_keys_are_fetched_and_rotate_without_a_failure(
    providers: Providers, clock: Any
) -> None:
    with serving() as server:
        rules = AddressRules(parse_internal_issuers(f"127.0.0.1:{server.port}"))
        keys = IssuerKeys(OutboundClient(rules), clock)
        prover = WebIdentityProver(providers, keys, NO_DIRECTORY, skew=SKEW)
        providers.register(server.issuer, StaticJwks=None)
        identity = await prove(prover, server.issuer.token())
        at = f"127.0.0.1:{server.port}"
        assert identity.provider_arn == f"arn:aws:iam::{FIRST}:oidc-provider/{at}"
        assert identity.context[f"{at}:sub"] == ("alice",)
        server.issuer.add_key("key-2", number=2)
        clock.move(11)
        assert await prove(prover, server.issuer.token())
        assert server.hits[server.jwks_path] == 1
        assert await prove(prover, server.issuer.token(kid="key-2"))
        assert server.hits[server.jwks_path] == 2
        for number in range(30):
            error = await refusal(
                prover, server.issuer.token(header={"kid": f"random-{number}"})
            )
            assert isinstance(error, InvalidIdentityToken)
            assert error.message == (
                "Couldn't retrieve verification key from your identity provider,"
                "  please reference AssumeRoleWithWebIdentity documentation for"
                " requirements"
            )
        assert server.hits[server.jwks_path] == 2
        await keys.close()


async def test_a_token_that_cannot_pass_fetches_nothing(
    providers: Providers, clock: Any
) -> None:
    with serving() as server:
        rules = AddressRules(parse_internal_issuers(f"127.0.0.1:{server.port}"))
        keys = IssuerKeys(OutboundClient(rules), clock)
        prover = WebIdentityProver(providers, keys, NO_DIRECTORY, skew=SKEW)
        providers.register(server.issuer, StaticJwks=None)
        for header in ({"alg": "none"}, {"alg": "HS256"}, {"crit": ["x"]}):
            await refusal(prover, server.issuer.token(header=header))
        assert not server.hits


async def test_an_unreachable_issuer_is_worth_another_try(
    prover: WebIdentityProver, providers: Providers
) -> None:
    issuer = OidcIssuer("https://127.0.0.1:1")
    providers.register(issuer, StaticJwks=None)
    error = await refusal(prover, issuer.token())
    assert isinstance(error, IdpCommunicationError)
    assert "not a public address" in error.detail
    assert "127.0.0.1" not in str(error.message)


async def test_a_wrong_option_refuses_the_token_and_tells_the_operator(
    prover: WebIdentityProver, providers: Providers
) -> None:
    providers.register(ISSUER, Profile="lenient")
    error = await refusal(prover, ISSUER.token())
    assert isinstance(error, InvalidIdentityToken)
    assert "Profile" in error.detail


async def test_an_expired_token_has_its_own_code(
    prover: WebIdentityProver, providers: Providers
) -> None:
    providers.register(ISSUER)
    error = await refusal(prover, ISSUER.token(iat=1, exp=2))
    assert isinstance(error, ExpiredFederationToken)
    assert str(error.message).startswith("Token expired: current date/time ")


@cases("provider_id, kind, message")
async def test_legacy_providers_are_answered_as_at_aws(
    prover: WebIdentityProver, provider_id: str, kind: type, message: str | None
) -> None:
    error = await refusal(prover, ISSUER.token(), provider_id=provider_id)
    assert isinstance(error, kind)
    assert error.message == message


@cases("issuer")
async def test_an_issuer_that_no_one_configured_is_refused(
    prover: WebIdentityProver, issuer: str
) -> None:
    error = await refusal(prover, ISSUER.token(iss=issuer))
    assert str(error.message).startswith("No OpenIDConnect provider found in your")


def test_every_refusal_has_its_wire_error() -> None:
    assert set(WIRE_ERRORS) == set(OidcReason)


@pytest.mark.parametrize("reason", OidcReason)
def test_details_stay_off_the_wire(reason: OidcReason) -> None:
    error = translate(OidcRejected(reason, "message", "for the operator"))
    assert "for the operator" in error.detail
    assert "operator" not in str(error.message)


async def test_a_directory_says_who_comes_in_and_with_which_groups(
    providers: Providers, keys: IssuerKeys
) -> None:
    people = People()
    admitting = WebIdentityProver(providers, keys, Admission(people), skew=SKEW)
    table = {"Ops": [ROLE], "Asserted": [f"{ROLE}2"]}
    providers.register(
        ISSUER, ScimSubject="externalId", ScimClaim="oid", GroupRoles=table
    )
    token = ISSUER.token(oid="o-7", groups=["Asserted"])
    unknown = await refusal(admitting, token)
    assert isinstance(unknown, IdpRejectedClaim)
    assert people.asked == [("externalId", "o-7")]
    people.people = [person("SCMU1", "whoever", external_id="o-7")]
    people.memberships = [
        Membership(
            group_id="SCMG1", group_name="Ops", group_external_id="", user_id="SCMU1"
        )
    ]
    admitted = await prove(admitting, token)
    assert admitted.person == "SCMU1"
    assert offered_roles(admitted) == (ROLE,)
    people.people = [person("SCMU1", "whoever", active=False)]
    assert "not active" in (await refusal(admitting, token)).words
    for odd in (ISSUER.token(), ISSUER.token(oid=["o-7", "o-8"])):
        people.asked.clear()
        await refusal(admitting, odd)
        assert not people.asked
