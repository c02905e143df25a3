import pytest

from broker.federation.oidc_options import parse_oidc_options
from broker.protocols.oidc.algorithms import ALGORITHM_NAMES


def test_without_options_a_provider_is_strict() -> None:
    options = parse_oidc_options({})
    assert options.algorithms == ALGORITHM_NAMES
    assert not options.verify_options.aws_profile
    assert not options.verify_options.require_token_id
    assert options.static_jwks == ""


@pytest.mark.parametrize("truth", [True, "true", "True"])
def test_options_come_typed_or_as_text(truth: object) -> None:
    options = parse_oidc_options(
        {
            "OneTimeUse": truth,
            "StaticJwks": {"keys": []},
            "Algorithms": "RS256, ES256",
            "Profile": "aws",
            "GroupMapping": {"somebody": "else's"},
        }
    )
    assert options.one_time_use
    assert options.static_jwks == '{"keys": []}'
    assert options.algorithms == {"RS256", "ES256"}
    assert options.verify_options.aws_profile
    assert options.verify_options.require_token_id
    assert parse_oidc_options({"Algorithms": ["PS256"]}).algorithms == {"PS256"}


@pytest.mark.parametrize(
    "option",
    [
        {"OneTimeUse": "yes"},
        {"OneTimeUse": 1},
        {"StaticJwks": 5},
        {"Algorithms": []},
        {"Algorithms": "HS256"},
        {"Algorithms": ["none"]},
        {"Algorithms": 5},
        {"Profile": "AWS"},
        {"Profile": None},
        {"ClaimKeys": 5},
        {"ClaimKeys": [1]},
        {"ClaimKeys": ["a b"]},
        {"ClaimKeys": ["a:b"]},
        {"ClaimKeys": ["x" * 129]},
        {"ClaimKeys": ["Sub"]},
        {"ClaimKeys": ["ref", "REF"]},
        {"ClaimKeys": [f"c{number}" for number in range(33)]},
    ],
)
def test_a_wrong_option_is_named(option: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        parse_oidc_options(option)


@pytest.mark.parametrize(
    "given", ["ref, https://a.example/x", ["ref", "https://a.example/x"]]
)
def test_claims_are_named_as_a_list_or_a_text(given: object) -> None:
    options = parse_oidc_options({"ClaimKeys": given})
    assert options.claim_keys == ("ref", "https://a.example/x")
