"""The page of the broker's own permissions, and the sample policies that it offers."""

from pathlib import Path

from broker.model.account import AccountId
from broker.model.principal import Principal
from broker.policy import (
    AccessRequest,
    ApplicablePolicies,
    PolicyKind,
    authorize,
    compile_policies,
    parse_policy,
)
from tests.authorization.permissions import PAGE, fill
from tests.authorization.table import FILE, WRITE
from tests.support.policies import decided
from tests.support.rows import cases

SAMPLES = Path(__file__).parents[2] / "samples" / "policies"
ANA = Principal.user(
    AccountId("111122223333"), user_id="AIDAEXAMPLEEXAMPLE", path="/", name="ana"
)


def test_the_page_has_the_permissions_of_the_table() -> None:
    page = PAGE.read_text("utf-8")
    assert fill(page, FILE.read_text("utf-8")) == page, WRITE


@cases("sample, action, resource, is_allowed")
def test_a_sample_policy_allows_what_its_row_says(
    sample: str, action: str, resource: str, *, is_allowed: bool
) -> None:
    text = (SAMPLES / f"{sample}.json").read_text("utf-8")
    policy = parse_policy(text, PolicyKind.IDENTITY)
    applicable = ApplicablePolicies(identity=compile_policies([(sample, policy)]))
    decision = decided(authorize, AccessRequest(action, resource, ANA), applicable)
    assert decision.allowed is is_allowed
