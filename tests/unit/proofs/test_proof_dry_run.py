"""A proof is tried by the very rules of the doors, and nothing is spent."""

import pytest

from broker.proofs.diagnosis import State, is_good
from broker.proofs.proof_dry_run import DryRunResult, ProofDryRun
from broker.stores.directory.kinds import SAML_PROVIDER
from tests.support.saml_idp import key_pair
from tests.support.signin import ACCOUNT, SignInWorld, role_arn


async def tried(world: SignInWorld, response: str) -> DryRunResult:
    services = world.services
    provider = await services.fresh.named(SAML_PROVIDER, ACCOUNT, "Corp")
    assert provider is not None
    dry_run = ProofDryRun(services.federated, services.web_identity)
    return await dry_run.try_response(provider, response, world.clock.now())


async def test_a_good_response_shows_who_and_which_roles(world: SignInWorld) -> None:
    response = world.response()
    for _ in range(2):
        outcome = await tried(world, response)
        assert is_good(outcome.checks)
        assert outcome.role_arns == (role_arn("Reader"),)
    entered = await world.browser().post("/saml", data={"SAMLResponse": response})
    assert entered.status_code == 303


@pytest.mark.parametrize(
    ("knobs", "title", "found"),
    [
        ({"signing_key": "other"}, "signature", "key"),
        ({"recipient": "https://elsewhere.example/saml"}, "Recipient", "elsewhere"),
        ({"audience": "urn:else"}, "audience", "urn:else"),
    ],
)
async def test_a_bad_one_names_the_check_with_what_was_found(
    world: SignInWorld, knobs: dict[str, str], title: str, found: str
) -> None:
    params: dict[str, object] = dict(knobs)
    if "signing_key" in knobs:
        params["signing_key"] = key_pair("other")
    outcome = await tried(world, world.response(**params))
    (failed,) = [check for check in outcome.checks if check.state is State.FAILED]
    assert title in failed.title
    assert found in failed.found
    assert failed.advice
