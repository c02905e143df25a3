"""``broker explain`` turns a denial into something an operator can do."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from typer.testing import CliRunner, Result

from broker.cli.main import app
from broker.cli.operator import with_services
from broker.compose.services import Services
from broker.model.audit import COUNT_FAILURES, AuditRecord
from tests.support.broker import ACCOUNT, Key, RunningBroker, running_broker
from tests.support.policies import policy
from tests.support.rows import cases
from tests.support.saml_idp import metadata_xml

BASE = f"arn:aws:iam::{ACCOUNT}"
ANN, ROLE, SAML = f"{BASE}:user/ann", f"{BASE}:role/R", f"{BASE}:saml-provider/Corp"
BOUND = "444455556666"
_SOON = 3.0


def allow(action: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, **more}


@pytest.fixture(scope="module")
def ann(broker: RunningBroker) -> Key:
    iam = broker.client("iam", broker.create_account())
    iam.create_user(UserName="ann")
    within = {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}
    iam.put_user_policy(
        UserName="ann",
        PolicyName="Read",
        PolicyDocument=policy(
            allow("iam:GetUser", Sid="Inside", Resource="*", Condition=within),
            allow("sts:AssumeRole", Resource="*"),
            {"Sid": "Never", "Effect": "Deny", "Action": "iam:*Key", "Resource": "*"},
        ),
    )
    iam.create_saml_provider(Name="Corp", SAMLMetadataDocument=metadata_xml())
    known = {"StringEquals": {"sts:ExternalId": "x"}}
    iam.create_role(
        RoleName="R",
        AssumeRolePolicyDocument=policy(
            allow("sts:AssumeRole", Principal={"AWS": ACCOUNT}, Condition=known),
            allow("sts:AssumeRoleWithSAML", Principal={"Federated": SAML}),
        ),
    )
    return Key.of(iam.create_access_key(UserName="ann")["AccessKey"])


def run(broker: RunningBroker, *words: str) -> Result:
    return CliRunner(env=dict(broker.environment)).invoke(app, ["explain", *words])


def told(broker: RunningBroker, *words: str) -> str:
    done = run(broker, *words)
    assert done.exit_code == 0, done.output
    return done.stdout


def asked(
    broker: RunningBroker, action: str, resource: str, *words: str, principal: str = ANN
) -> str:
    values = ("--principal", principal, "--action", action, "--resource", resource)
    return told(broker, *values, *words)


def event_of(call: Any, **params: Any) -> str:
    with pytest.raises(ClientError) as caught:
        call(**params)
    return str(caught.value.response["ResponseMetadata"]["RequestId"])


def test_a_recorded_denial_says_which_condition_failed_and_what_to_do(
    broker: RunningBroker, ann: Key
) -> None:
    event = event_of(broker.client("iam", ann).get_user)
    deadline = time.monotonic() + _SOON
    while run(broker, event).exit_code and time.monotonic() < deadline:
        time.sleep(0.1)
    first, why, *rest = told(broker, event).splitlines()
    assert first.endswith(
        f": {ANN} called iam:GetUser on {ANN} from 127.0.0.1"
        " and was denied by policies, with AccessDenied."
    )
    assert why == (
        f"Why: No identity-based policy allows iam:GetUser on {ANN}. Statement 1"
        ' ("Inside") of inline:Read comes closest, but IpAddress asks for aws:SourceIp'
        ' "10.0.0.0/8" and the request has "127.0.0.1".'
    )
    assert rest[0] == "With today's policies, without the call's parameters:"
    assert f"  {why}" in rest
    (to_do,) = [line for line in rest if "To do" in line]
    assert 'make the request match statement 1 ("Inside") of inline:Read' in to_do


def test_a_recorded_call_that_was_allowed_says_by_what(
    broker: RunningBroker, ann: Key
) -> None:
    identity = broker.client("sts", ann).get_caller_identity()
    event = identity["ResponseMetadata"]["RequestId"]
    deadline = time.monotonic() + _SOON
    while run(broker, event).exit_code and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "Why: The call requires no permission." in told(broker, event)


def test_a_missing_parameter_is_named_with_where_it_comes_from(
    broker: RunningBroker, ann: Key
) -> None:
    assert ann
    lines = asked(broker, "sts:AssumeRole", ROLE)
    assert lines.startswith(f"Denied: {ANN} cannot perform sts:AssumeRole on {ROLE}.\n")
    assert 'asks for sts:ExternalId "x" and the request has no sts:ExternalId' in lines
    assert (
        "To do: sts:ExternalId comes from a parameter of the call: AssumeRole with"
        " ExternalId." in lines
    )
    lines = asked(broker, "sts:AssumeRole", ROLE, "--context", "sts:ExternalId=x")
    assert lines.startswith(f"Allowed: {ANN} can perform sts:AssumeRole on {ROLE}.\n")
    assert f"the trust policy of {ROLE}; identity-based policy (inline:Read)" in lines


def test_an_explicit_deny_points_at_its_statement(
    broker: RunningBroker, ann: Key
) -> None:
    assert ann
    lines = asked(broker, "iam:CreateAccessKey", ANN)
    assert 'Why: Statement 3 ("Never") of inline:Read denies' in lines
    assert 'To do: change statement 3 ("Never") of inline:Read, or exempt' in lines


def test_a_provider_is_asked_about_as_an_unsigned_caller(
    broker: RunningBroker, ann: Key
) -> None:
    assert ann
    action = "sts:AssumeRoleWithSAML"
    assert asked(broker, action, ROLE, principal=SAML).startswith("Allowed: ")
    other = f"{BASE}:saml-provider/Other"
    lines = asked(broker, action, ROLE, principal=other)
    assert f'allow {action} for {{"Federated": "{other}"}}' in lines


def test_refused_proofs_are_found_and_told_check_by_check(
    broker: RunningBroker, ann: Key
) -> None:
    stranger = replace(ann, secret_access_key="x" * 40)
    forged = event_of(broker.client("sts", stranger).get_caller_identity)
    foreign = event_of(
        broker.client("sts").assume_role_with_saml,
        RoleArn=ROLE,
        PrincipalArn=SAML,
        SAMLAssertion=base64.b64encode(b"<x/>").decode(),
    )
    denied = event_of(broker.client("iam", ann).get_user, UserName="ann")
    time.sleep(1.2)
    listed = broker.command("audit", "--outcome", "refused", "--json")
    assert forged in listed
    assert foreign in listed
    assert denied not in listed
    assert denied in broker.command("audit", "--outcome", "denied", "--json")
    lines = told(broker, foreign)
    assert "Check that failed: " in lines
    assert "To do: " in lines
    assert "SignatureDoesNotMatch" in told(broker, forged)


def test_every_record_of_a_request_is_told(broker: RunningBroker, ann: Key) -> None:
    """A page's request may leave several."""
    assert ann
    records = [
        AuditRecord(
            event_id="several",
            at=datetime.now(UTC) + timedelta(seconds=number),
            account=None,
            action=action,
            decision="refused",
            error_code="InvalidIdentityToken",
        )
        for number, action in enumerate(("signin:First", "signin:Second"))
    ]

    async def append(services: Services) -> None:
        for record in records:
            await services.stores.ledger.append(record)

    with pytest.MonkeyPatch.context() as patch:
        for name, value in broker.environment.items():
            patch.setenv(name, value)
        with_services(append)
    lines = told(broker, "several")
    assert lines.index("signin:First") < lines.index("signin:Second")
    match = json.loads(told(broker, "several", "--json"))
    assert match["action"] == "signin:Second"
    assert [entry["action"] for entry in match["earlier"]] == ["signin:First"]


@pytest.fixture
def flooded(tmp_path: Path) -> Iterator[RunningBroker]:
    """A broker of its own: what others are refused for at that time is counted too."""
    with running_broker(tmp_path) as made:
        yield made


def test_a_request_that_was_only_counted_is_said_to_be(flooded: RunningBroker) -> None:
    broker = flooded
    unsigned = broker.client("sts", Key("AKIA" + "A" * 16, "wrong"))
    words = ["audit", "--json", "--action", COUNT_FAILURES, "--outcome", "refused"]
    deadline = time.monotonic() + 5 * _SOON
    events: set[str] = set()
    counts: list[dict[str, Any]] = []
    while not counts and time.monotonic() < deadline:
        # A second takes five of them in full.
        events |= {event_of(unsigned.get_caller_identity) for _ in range(40)}
        done = CliRunner(env=dict(broker.environment)).invoke(app, words)
        counts = [json.loads(line) for line in done.stdout.splitlines()]
    named = events & set(counts[0]["parameters"]["RequestIds"])
    match = json.loads(told(broker, named.pop(), "--json"))
    assert match["decision"] == "refused"
    assert match["certain"]
    assert match["counted_in"] == counts[0]["event_id"]
    assert "in a burst from 127.0.0.1 that were only counted" in match["why"]


def test_a_role_that_is_not_there_is_said_so(broker: RunningBroker, ann: Key) -> None:
    assert ann
    lines = asked(broker, "sts:AssumeRole", f"{BASE}:role/Q")
    assert f"Why: There is no role {BASE}:role/Q." in lines


def test_an_unknown_action_is_noted(broker: RunningBroker, ann: Key) -> None:
    assert ann
    lines = asked(broker, "iam:GetUsr", ANN)
    assert (
        "Note: iam:GetUsr is not an action of AWS Identity and Access Management"
        in lines
    )


def test_actions_of_registered_services_are_known(
    broker: RunningBroker, ann: Key
) -> None:
    assert ann
    definition = broker.folder / "parcels.yaml"
    definition.write_text(
        "Hosts: [parcels.example.com]\nActions: {GetParcel: {AccessLevel: Read}}"
    )
    words = ["services", "set", "parcels", "--account", ACCOUNT, str(definition)]
    assert CliRunner(env=dict(broker.environment)).invoke(app, words).exit_code == 0
    assert "Note:" not in asked(broker, "parcels:GetParcel", "*")
    assert "Note:" not in asked(broker, "broker:PutService", "*")
    lines = asked(broker, "parcels:GetParcels", "*")
    assert "Note: parcels:GetParcels is not an action of parcels (registered)." in lines


def test_without_an_action_it_sums_up_what_a_principal_has(
    broker: RunningBroker, ann: Key
) -> None:
    assert ann
    lines = told(broker, "--principal", ANN).splitlines()
    assert lines[:2] == [f"{ANN}:", "  identity-based policy (inline:Read)"]
    assert (
        "    Allow AWS Security Token Service: Limited: Write; All resources;"
        " condition: None" in lines
    )
    assert (
        "    Allow AWS Identity and Access Management (IAM): Limited: Read;"
        " All resources; condition: aws:SourceIp IpAddress 10.0.0.0/8" in lines
    )
    match = json.loads(told(broker, "--principal", ANN, "--json"))
    assert match["identity-based policy"]["policies"] == "inline:Read"


def test_json_holds_the_same(broker: RunningBroker, ann: Key) -> None:
    assert ann
    match = json.loads(asked(broker, "iam:GetRole", ROLE, "--json"))
    assert match["decision"] == "denied"
    assert match["explicit"] is False
    assert match["policy_type"] == "identity-based policy"
    assert match["to_do"]


@cases("words, wrong")
def test_what_cannot_be_asked_is_refused(
    broker: RunningBroker, words: tuple[str, ...], wrong: str
) -> None:
    done = run(broker, *words)
    assert done.exit_code == 2
    assert wrong in " ".join(done.output.replace("│", " ").split())


@cases("words, wrong")
@pytest.mark.usefixtures("ann")
def test_what_is_not_there_is_said_so(
    broker: RunningBroker, words: tuple[str, ...], wrong: str
) -> None:
    done = run(broker, *words)
    assert done.exit_code == 1
    assert wrong in str(done.exception)


def test_a_service_control_policy_binds_root_at_once_and_is_explained(
    broker: RunningBroker,
) -> None:
    root = broker.create_account(BOUND)
    iam = broker.client("iam", root)
    iam.create_user(UserName="bob")
    file = broker.folder / "bound.yaml"
    file.write_text(f"""
Accounts:
  "{BOUND}":
    Broker:
      ServiceControlPolicies:
        - PolicyName: Bounds
          PolicyDocument:
            Version: 2012-10-17
            Statement:
              - {{Effect: Allow, NotAction: "iam:Create*", Resource: "*"}}
              - {{Sid: Keep, Effect: Deny, Action: "iam:Delete*", Resource: "*"}}
""")
    broker.command("apply", str(file))
    deadline = time.monotonic() + _SOON
    text = ""
    while not text and time.monotonic() < deadline:
        try:
            iam.create_user(UserName=f"x{time.monotonic_ns()}")
        except ClientError as error:
            text = error.response["Error"]["Message"]
    assert text.endswith(
        "because no service control policy allows the iam:CreateUser action"
    )
    with pytest.raises(ClientError) as caught:
        iam.delete_user(UserName="bob")
    assert caught.value.response["Error"]["Message"].endswith(
        "with an explicit deny in a service control policy"
    )
    assert iam.get_user(UserName="bob")
    user = f"arn:aws:iam::{BOUND}:user/bob"
    lines = asked(broker, "iam:DeleteUser", user, principal=BOUND)
    assert 'Why: Statement 2 ("Keep") of Bounds denies iam:DeleteUser' in lines
    (result,) = iam.simulate_principal_policy(
        PolicySourceArn=user,
        ActionNames=["iam:CreateUser"],
        PolicyInputList=[policy(allow("*", Resource="*"))],
    )["EvaluationResults"]
    assert result["EvalDecision"] == "implicitDeny"
    assert result["OrganizationsDecisionDetail"] == {"AllowedByOrganizations": False}


def test_apply_tells_of_actions_that_no_service_has(broker: RunningBroker) -> None:
    file = broker.folder / "misspelt.yaml"
    file.write_text(
        """Accounts:
  "777788889999":
    ManagedPolicies:
      - ManagedPolicyName: Typo
        PolicyDocument:
          Version: 2012-10-17
          Statement: {Effect: Allow, Action: ["s3:GetObjekt", "s3:*"], Resource: "*"}
      - ManagedPolicyName: Unheard
        PolicyDocument:
          Version: 2012-10-17
          Statement:
            Effect: Deny
            Action: orders:Get
            Resource: "*"
            Condition: {StringEquals: {"orders:Size": big, "orders:Kind": odd}}
    Users:
      - UserName: ann
        Policies:
          - PolicyName: Own
            PolicyDocument:
              Version: 2012-10-17
              Statement:
                Effect: Allow
                Action: ["corp:Read", "orders:Get", "orders:Got", "broker:Authorize"]
                Resource: "*"
    Services:
      - ServiceName: orders
        Definition: {Hosts: [a.example.com], Actions: {Get: {AccessLevel: Read}}, ConditionKeys: {"orders:Kind": String}}
"""
    )
    done = CliRunner(env=dict(broker.environment)).invoke(app, ["apply", str(file)])
    assert done.exit_code == 0, done.output
    written, *warnings, last = done.stderr.splitlines()
    assert written.startswith("Written to sqlite:///")
    assert last.startswith("Done: 5 changes (")
    assert warnings == [
        (
            "? Accounts.777788889999.ManagedPolicies.Typo: Statement 1: s3:GetObjekt is not an"
            " action of Amazon S3"
        ),
        (
            "? Accounts.777788889999.ManagedPolicies.Unheard: Statement 1: orders:Size is"
            " not a condition key that orders declares: it has a value only if the"
            " service sends one"
        ),
        (
            "? Accounts.777788889999.Users.ann.Own: Statement 1: corp:Read is an action of"
            " a service that AWS does not have"
        ),
        (
            "? Accounts.777788889999.Users.ann.Own: Statement 1: orders:Got is not an action"
            " of orders (registered)"
        ),
    ]
    assert "+ 777788889999 managed policy Typo" in done.stdout
