"""Machines through the Query API, signed by PyJWT and read by botocore."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from broker.actions.instances import machines
from broker.errors import AccessDenied, InvalidIdentityToken, InvalidPublicKey
from broker.kinds.bearer_tokens import token_digest
from broker.model.account import AccountId
from broker.model.federated import FederatedIdentity
from broker.model.lineage import Ancestor, Lineage, Origin, lineage_row
from broker.model.principal import Principal, PrincipalType
from broker.model.roles_anywhere import CertificateProfile, TrustAnchor
from broker.proofs.certified import certificate_target
from broker.protocols.x509.revocation import issuer_digest
from broker.sessions.revoke import (
    revoke_for_good,
    revoke_issued_before,
    revoke_key_id,
    revoke_person,
)
from broker.stores.directory import kinds
from broker.stores.directory.accounts import update_account
from broker.stores.directory.identities import find_join_token
from tests.support.broker import Key
from tests.support.calls import perform, told
from tests.support.certificates import issue
from tests.support.in_process import in_process
from tests.support.machines import ACCOUNT, TRUST, Fleet, Machine, public_text
from tests.support.rows import cases
from tests.support.servers import find_postgresql
from tests.support.tables import own_database

SESSION = f"arn:aws:sts::{ACCOUNT}:assumed-role"


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with in_process(tmp_path) as broker:
        yield await Fleet.of(broker, "web", "db")


async def test_a_machine_joins_and_takes_up_its_role(fleet: Fleet) -> None:
    machine = await fleet.machine()
    key = await machine.credentials()
    assert await fleet.who(key) == f"{SESSION}/web/{machine.instance_id}"
    (listed,) = (await fleet.manage("ListInstances"))["Instances"]
    assert listed["Arn"] == machine.arn
    assert listed["InstanceProfileArn"].endswith(":instance-profile/web")
    assert ":join-token/" in listed["RegisteredBy"]


async def test_credentials_last_six_hours_whatever_the_role_allows(
    fleet: Fleet,
) -> None:
    machine = await fleet.machine()
    for params, seconds in (({}, 6 * 3600), ({"DurationSeconds": 900}, 900)):
        reply = await machine.ask("GetInstanceCredentials", **params)
        answer = reply.parsed("broker", "GetInstanceCredentials")
        left = answer["Credentials"]["Expiration"] - fleet.broker.clock.now()
        assert seconds - 60 < left.total_seconds() <= seconds
    for refused in (899, 21_601):
        reply = await machine.ask("GetInstanceCredentials", DurationSeconds=refused)
        assert reply.code == "ValidationError"


async def test_policies_see_the_instance_and_the_delivery(fleet: Fleet) -> None:
    machine = await fleet.machine()
    other = await fleet.machine()
    condition = {
        "ArnEquals": {"ec2:SourceInstanceARN": machine.arn},
        "StringEquals": {"ec2:RoleDelivery": "2.0"},
    }
    statement = {
        "Effect": "Allow",
        "Action": "iam:ListRoles",
        "Resource": "*",
        "Condition": condition,
    }
    await fleet.iam(
        "PutRolePolicy",
        RoleName="web",
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
    )

    async def code(key: Key) -> str:
        return (await fleet.broker.call("iam", "ListRoles", key)).code

    assert await code(await machine.credentials()) == ""
    assert await code(await machine.credentials(RoleDelivery="1.0")) == "AccessDenied"
    assert await code(await other.credentials()) == "AccessDenied"


async def test_the_roles_trust_policy_decides(fleet: Fleet) -> None:
    machine = await fleet.machine()
    before = await machine.credentials()
    closed = TRUST.replace("ec2.amazonaws.com", "lambda.amazonaws.com")
    await fleet.iam("UpdateAssumeRolePolicy", RoleName="web", PolicyDocument=closed)
    reply = await machine.ask("GetInstanceCredentials")
    assert reply.code == "AccessDenied"
    assert (await fleet.who(before)).startswith(SESSION)  # as in AWS, until it expires


async def test_a_join_token_admits_one_machine(fleet: Fleet) -> None:
    token = await fleet.token()
    first, second = Machine(fleet.broker), Machine(fleet.broker)
    replies = await asyncio.gather(
        *(machine.join(token) for machine in (first, second))
    )
    assert sorted(reply.status for reply in replies) == [200, 403]
    admitted = first if first.arn else second
    refused = second if first.arn else first
    # The answer may have been lost: the same machine asks again and is not another.
    arn = admitted.arn
    assert (await admitted.join(token)).status == 200
    assert admitted.arn == arn
    assert (await refused.join(token)).code == "AccessDenied"
    assert len((await fleet.manage("ListInstances"))["Instances"]) == 1
    (listed,) = (await fleet.manage("ListJoinTokens"))["JoinTokens"]
    assert listed["InstanceId"] == admitted.instance_id
    assert token not in str(listed)


async def test_a_join_token_ends_with_the_session_that_made_it(fleet: Fleet) -> None:
    made = await fleet.broker.ask("sts", "GetSessionToken", fleet.root)
    session = Key.of(made["Credentials"])
    tokens = [
        (
            await fleet.broker.ask(
                "broker", "CreateJoinToken", session, InstanceProfileName="web"
            )
        )["Token"]
        for _ in "12"
    ]
    early = Machine(fleet.broker)
    assert (await early.join(tokens[0])).status == 200
    async with fleet.broker.services.stores.directory.change(
        AccountId(ACCOUNT)
    ) as change:
        await revoke_key_id(
            change,
            account=AccountId(ACCOUNT),
            access_key_id=session.access_key_id,
            now=fleet.broker.clock.now(),
        )
    reply = await Machine(fleet.broker).join(tokens[1])
    assert reply.code == "InvalidClientTokenId"
    # A worker that does not know of it yet learns of it when it registers.
    services = fleet.broker.services
    with pytest.raises(AccessDenied):
        await perform(
            services,
            services.registry.get("broker", "RegisterInstance"),
            {
                "JoinToken": tokens[1],
                "PublicKey": public_text(Ed25519PrivateKey.generate()),
            },
            told(early.caller()),
        )
    for action in ("GetInstanceCredentials", "GetInstanceAssociation"):
        assert (await early.ask(action)).code == "InvalidClientTokenId", action


OTHER = "210987654321"


async def test_a_machine_ends_with_who_admitted_it_though_in_another_account(
    fleet: Fleet,
) -> None:
    """For good: the mark is forgotten in time, and the machine does not expire."""
    broker = fleet.broker
    other, ann = await joining_user(fleet)
    machines = [await admitted_by(fleet, ann) for _ in "12"]
    keys = [await machine.credentials() for machine in machines]
    used = await fleet.manage("ListInstances")
    assert len(used["Instances"]) == 2
    await broker.ask("iam", "DeleteUserPolicy", other, UserName="ann", PolicyName="p")
    access_key = {"UserName": "ann", "AccessKeyId": ann.access_key_id}
    await broker.ask("iam", "DeleteAccessKey", other, **access_key)
    for machine, key in zip(machines, keys, strict=True):
        assert await machine.credentials(), "keys are rotated"
        assert await fleet.who(key)
    await broker.ask("iam", "DeleteUser", other, UserName="ann")
    assert (await fleet.manage("ListInstances"))["Instances"] == []
    for hours in (0, 38):
        broker.clock.move(hours * 3600)
        # What is revoked there is read again; what is in the machine's account is not.
        async with broker.services.stores.directory.change(AccountId(OTHER)) as change:
            await revoke_key_id(
                change,
                account=AccountId(OTHER),
                access_key_id=ann.access_key_id,
                now=broker.clock.now(),
            )
        for machine in machines:
            reply = await machine.ask("GetInstanceCredentials")
            assert reply.code == "InvalidClientTokenId", hours


@pytest.mark.skipif(find_postgresql() is None, reason="PostgreSQL is not installed")
async def test_a_registration_waits_for_a_revocation_in_another_account(
    tmp_path: Path,
) -> None:
    """On SQLite no two changes run at a time; on PostgreSQL those of two accounts do."""
    with own_database() as url:
        async with in_process(tmp_path, database_url=url) as broker:
            fleet = await Fleet.of(broker, "web")
            other, ann = await joining_user(fleet)
            token = await join_token_by(fleet, ann)
            user = (await broker.ask("iam", "GetUser", other, UserName="ann"))["User"]
            directory = broker.services.stores.directory
            async with directory.change(AccountId(OTHER)) as change:
                await revoke_issued_before(
                    change,
                    account=AccountId(OTHER),
                    target=user["UserId"],
                    now=broker.clock.now(),
                )
                joining = asyncio.create_task(Machine(broker).join(token))
                await asyncio.wait({joining}, timeout=1)
            assert (await joining).code == "AccessDenied"
            assert (await fleet.manage("ListInstances"))["Instances"] == []


async def joining_user(fleet: Fleet) -> tuple[Key, Key]:
    """Another account's root, and its user who may assume a role that makes join tokens."""
    broker = fleet.broker
    other = await broker.create_account(OTHER)
    await broker.ask("iam", "CreateUser", other, UserName="ann")
    made = await broker.ask("iam", "CreateAccessKey", other, UserName="ann")
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": everything})
    await broker.ask(
        *("iam", "PutUserPolicy", other),
        UserName="ann",
        PolicyName="p",
        PolicyDocument=policy,
    )
    trust = json.loads(TRUST)
    trust["Statement"]["Principal"] = {"AWS": OTHER}
    await fleet.iam(
        "CreateRole", RoleName="joining", AssumeRolePolicyDocument=json.dumps(trust)
    )
    await fleet.iam(
        "PutRolePolicy", RoleName="joining", PolicyName="p", PolicyDocument=policy
    )
    return other, Key.of(made["AccessKey"])


async def join_token_by(fleet: Fleet, key: Key) -> str:
    """A join token that a role's session made."""
    assumed = await fleet.broker.ask(
        *("sts", "AssumeRole", key),
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/joining",
        RoleSessionName="ann",
    )
    made = await fleet.broker.ask(
        "broker",
        "CreateJoinToken",
        Key.of(assumed["Credentials"]),
        InstanceProfileName="web",
    )
    token: str = made["Token"]
    return token


async def admitted_by(fleet: Fleet, key: Key) -> Machine:
    """A machine, by such a token."""
    machine = Machine(fleet.broker)
    assert (await machine.join(await join_token_by(fleet, key))).status == 200
    return machine


@pytest.mark.parametrize("kind", [kinds.TRUST_ANCHOR, kinds.CERTIFICATE_PROFILE])
async def test_machines_and_tokens_of_a_certificate_end_with_what_admits_it(
    fleet: Fleet, kind: Any
) -> None:
    account, services = AccountId(ACCOUNT), fleet.broker.services
    now, directory = fleet.broker.clock.now(), services.stores.directory
    common: dict[str, Any] = {
        "account": account,
        "region": "eu-west-3",
        "name": "plant",
        "enabled": True,
        "created_at": now,
        "updated_at": now,
    }
    root = issue("Plant", is_authority=True)
    anchor = TrustAnchor(anchor_id="anchor", certificates=root.pem, **common)
    profile = CertificateProfile(
        profile_id="profile",
        role_arns=(),
        managed_policy_arns=(),
        session_policy=None,
        duration_seconds=3600,
        accepts_session_name=False,
        attribute_mappings={},
        created_by="",
        **common,
    )
    target = certificate_target(
        "anchor", "profile", 1, issuer_digest(root.certificate.subject)
    )
    role = (await fleet.iam("GetRole", RoleName="db"))["Role"]
    session = Ancestor(
        account=account,
        mint_id="mint",
        access_key_id="ASIA",
        principal_id=role["RoleId"],
        issued_at_ms=int(now.timestamp() * 1000),
    )
    origin = Origin(account=account, subject="web-1", targets=(target,))
    lineage = Lineage(origin=origin, ancestors=(session,))
    secrets = [await fleet.token() for _ in "12"]
    async with directory.change(account) as change:
        await change.insert(kinds.TRUST_ANCHOR, anchor)
        await change.insert(kinds.CERTIFICATE_PROFILE, profile)
        for secret in secrets:
            token = await find_join_token(change, account, token_digest(secret))
            assert token is not None
            token = replace(token, lineage=tuple(lineage_row(lineage)))
            await change.update(kinds.JOIN_TOKEN, token)
    machine = Machine(fleet.broker)
    assert (await machine.join(secrets[0])).status == 200
    assert await machine.credentials()

    async with directory.change(account) as change:
        entity = anchor if kind is kinds.TRUST_ANCHOR else profile
        await change.update(kind, replace(entity, enabled=False))
    assert (await machine.ask("GetInstanceCredentials")).code == "AccessDenied"
    late = Machine(fleet.broker)
    assert (await late.join(secrets[1])).code == "InvalidClientTokenId"
    # A worker that did not know of it when the token was proved.
    key = public_text(Ed25519PrivateKey.generate())
    with pytest.raises(AccessDenied):
        await perform(
            services,
            services.registry.get("broker", "RegisterInstance"),
            {"JoinToken": secrets[1], "PublicKey": key},
            told(machine.caller()),
        )


async def test_a_join_token_that_does_not_count(fleet: Fleet) -> None:
    machine = Machine(fleet.broker)
    elsewhere = await fleet.token(Addresses=["192.0.2.0/24"])
    deleted = await fleet.manage("CreateJoinToken", InstanceProfileName="web")
    await fleet.manage("DeleteJoinToken", TokenId=deleted["JoinToken"]["TokenId"])
    made_up = f"bjt.{ACCOUNT}.{'x' * 43}"
    late = await fleet.token(DurationSeconds=60)
    fleet.broker.clock.move(61)
    for token in (elsewhere, deleted["Token"], made_up, "x" * 40, late):
        reply = await machine.join(token)
        assert reply.code == "InvalidClientTokenId", token
    here = await fleet.token(Addresses=["127.0.0.0/8"])
    assert (await machine.join(here)).status == 200


async def test_expired_join_tokens_are_deleted_with_the_next(fleet: Fleet) -> None:
    await fleet.token(DurationSeconds=60)
    await fleet.token(DurationSeconds=3600)
    fleet.broker.clock.move(61)
    await fleet.token()
    assert len((await fleet.manage("ListJoinTokens"))["JoinTokens"]) == 2


async def test_join_tokens_and_machines_are_bounded(fleet: Fleet) -> None:
    first, second = await fleet.token(), await fleet.token()
    directory = fleet.broker.services.stores.directory
    async with directory.change(AccountId(ACCOUNT)) as change:
        account = await change.find(kinds.ACCOUNT, AccountId(ACCOUNT))
        assert account is not None
        quotas = {"InstancesPerAccount": 1, "JoinTokensPerAccount": 2}
        await update_account(change, replace(account, quotas=quotas))
    reply = await fleet.broker.call(
        "broker", "CreateJoinToken", fleet.root, InstanceProfileName="web"
    )
    assert reply.code == "LimitExceeded"
    assert "JoinTokensPerAccount: 2" in reply.message
    machine = Machine(fleet.broker)
    assert (await machine.join(first)).status == 200
    assert (await Machine(fleet.broker).join(second)).code == "LimitExceeded"
    # The one that is there may ask again, and another comes when it has ended.
    assert (await machine.join(first)).status == 200
    await fleet.manage("EndInstance", InstanceId=machine.instance_id)
    assert (await Machine(fleet.broker).join(second)).status == 200


async def test_the_more_machines_the_less_often_each_asks(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = await fleet.machine()
    assert (await machine.association())["PollSeconds"] == 2
    monkeypatch.setattr(machines, "_POLLS_PER_SECOND", 1)
    for _ in range(4):
        await fleet.machine()
    assert (await machine.association())["PollSeconds"] == 5


@cases("text")
async def test_a_key_that_proves_nothing(fleet: Fleet, text: str) -> None:
    reply = await fleet.broker.call(
        "broker",
        "RegisterInstance",
        None,
        JoinToken=await fleet.token(),
        PublicKey=text,
    )
    assert reply.code in {"InvalidPublicKey", "ValidationError"}


async def test_two_machines_never_share_a_key(fleet: Fleet) -> None:
    machine = await fleet.machine()
    twin = Machine(fleet.broker, key=machine.key)
    assert (await twin.join(await fleet.token())).code == "InvalidPublicKey"


@cases("changed")
async def test_a_proof_with_other_claims(fleet: Fleet, changed: dict[str, Any]) -> None:
    machine = await fleet.machine()
    try:
        proof = machine.proof("GetInstanceCredentials", **changed)
    except TypeError:  # PyJWT signs no such claims
        return
    reply = await machine.ask("GetInstanceCredentials", proof)
    assert reply.code == "SignatureDoesNotMatch"


async def test_an_arn_that_is_almost_the_machines(fleet: Fleet) -> None:
    machine = await fleet.machine()
    proof = machine.proof("GetInstanceAssociation")
    right = machine.arn
    for arn, code in {
        right.replace(":us-east-1:", ":eu-west-3:"): "InvalidClientTokenId",
        right.replace(ACCOUNT, "444455556666"): "InvalidClientTokenId",
        right[:-1] + ("0" if right[-1] != "0" else "1"): "InvalidClientTokenId",
        right.replace(":ec2:", ":iam:"): "ValidationError",
        right.replace("instance/", "volume/"): "ValidationError",
        right + "0": "ValidationError",
        "x" * 30: "ValidationError",
    }.items():
        machine.arn = arn
        reply = await machine.ask("GetInstanceAssociation", proof)
        assert reply.code == code, arn


async def test_a_proof_by_another_key_or_algorithm(fleet: Fleet) -> None:
    machine, other = await fleet.machine(), await fleet.machine()
    name = "GetInstanceCredentials"
    claims = jwt.decode(machine.proof(name), options={"verify_signature": False})
    stranger = jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA")
    by_other = jwt.encode(claims, other.key, algorithm="EdDSA")
    secret = public_text(machine.key)
    symmetric = jwt.encode(claims, secret, algorithm="HS256")
    unsigned = jwt.encode(claims, None, algorithm="none")
    tampered = machine.proof(name)[:-4] + "AAAA"
    for proof in (stranger, by_other, symmetric, unsigned, tampered, "x" * 30):
        assert (await machine.ask(name, proof)).code == "SignatureDoesNotMatch"


async def test_a_proof_counts_for_five_minutes_and_once(fleet: Fleet) -> None:
    machine = await fleet.machine()
    now = int(fleet.broker.clock.now().timestamp())
    name = "GetInstanceCredentials"
    for offset in (-310, 310):
        proof = machine.proof(name, iat=now + offset)
        assert (await machine.ask(name, proof)).code == "SignatureDoesNotMatch"
    proof = machine.proof(name, iat=now - 280)
    assert (await machine.ask(name, proof)).status == 200
    assert (await machine.ask(name, proof)).code == "SignatureDoesNotMatch"


async def test_a_replaced_profile_counts_at_once(fleet: Fleet) -> None:
    machine = await fleet.machine()
    old = await machine.credentials()
    before = await machine.association()
    await fleet.manage(
        "AssociateInstanceProfile",
        InstanceId=machine.instance_id,
        InstanceProfileName="db",
    )
    after = await machine.association()
    assert (before["RoleName"], after["RoleName"]) == ("web", "db")
    assert before["AssociationId"] != after["AssociationId"]
    assert (await fleet.who(await machine.credentials())).startswith(f"{SESSION}/db/")
    assert (await fleet.who(old)).startswith(f"{SESSION}/web/")  # as in AWS
    await fleet.manage("DisassociateInstanceProfile", InstanceId=machine.instance_id)
    assert "RoleName" not in await machine.association()
    assert (await machine.ask("GetInstanceCredentials")).code == "NoSuchEntity"


async def test_another_role_in_the_profile_is_another_association(fleet: Fleet) -> None:
    machine = await fleet.machine()
    before = await machine.association()
    params = {"InstanceProfileName": "web", "RoleName": "web"}
    await fleet.iam("RemoveRoleFromInstanceProfile", **params)
    assert (await machine.ask("GetInstanceCredentials")).code == "NoSuchEntity"
    await fleet.iam("AddRoleToInstanceProfile", **params | {"RoleName": "db"})
    after = await machine.association()
    assert after["RoleName"] == "db"
    assert before["AssociationId"] != after["AssociationId"]


async def test_the_end_of_a_machine_ends_what_it_did(fleet: Fleet) -> None:
    machine, other = await fleet.machine(), await fleet.machine()
    key, others = await machine.credentials(), await other.credentials()
    await fleet.iam(
        "CreateRole",
        RoleName="next",
        AssumeRolePolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/web"},
                    "Action": "sts:AssumeRole",
                },
            }
        ),
    )
    chained = await fleet.broker.ask(
        "sts",
        "AssumeRole",
        key,
        RoleArn=f"arn:aws:iam::{ACCOUNT}:role/next",
        RoleSessionName="session",
    )
    await fleet.manage("EndInstance", InstanceId=machine.instance_id)
    assert await fleet.who(key) == "ExpiredToken"
    assert await fleet.who(Key.of(chained["Credentials"])) == "ExpiredToken"
    assert (await machine.ask("GetInstanceCredentials")).code == "InvalidClientTokenId"
    assert (await machine.ask("GetInstanceAssociation")).code == "InvalidClientTokenId"
    assert (await fleet.who(others)).startswith(SESSION)


async def test_nothing_survives_the_end_of_a_machine(fleet: Fleet) -> None:
    """Also what another worker issued by a clock that is ahead, or issues meanwhile."""
    machine, clock = await fleet.machine(), fleet.broker.clock
    clock.move(180)
    ahead = await machine.credentials()
    clock.move(-180)
    await fleet.manage("EndInstance", InstanceId=machine.instance_id)
    clock.move(180)
    assert await fleet.who(ahead) == "ExpiredToken"


async def test_handing_out_a_role_needs_the_permission_to_pass_it(fleet: Fleet) -> None:
    machine = await fleet.machine()
    await fleet.iam("CreateUser", UserName="ops")
    made = (await fleet.iam("CreateAccessKey", UserName="ops"))["AccessKey"]
    ops = Key.of(made)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("CreateJoinToken", {"InstanceProfileName": "db"}),
        (
            "AssociateInstanceProfile",
            {"InstanceProfileName": "db", "InstanceId": machine.instance_id},
        ),
    ]

    async def codes() -> list[str]:
        return [
            (await fleet.broker.call("broker", name, ops, **params)).code
            for name, params in calls
        ]

    def policy(*statements: dict[str, Any]) -> str:
        return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})

    async def allow(*statements: dict[str, Any]) -> None:
        await fleet.iam(
            "PutUserPolicy",
            UserName="ops",
            PolicyName="p",
            PolicyDocument=policy(*statements),
        )

    own = {"Effect": "Allow", "Action": "broker:*", "Resource": "*"}
    passing = {
        "Effect": "Allow",
        "Action": "iam:PassRole",
        "Resource": f"arn:aws:iam::{ACCOUNT}:role/web",
    }
    await allow(own, passing)
    assert await codes() == ["AccessDenied", "AccessDenied"]
    condition = {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}
    right = passing | {
        "Resource": f"arn:aws:iam::{ACCOUNT}:role/db",
        "Condition": condition,
    }
    await allow(own, right)
    assert await codes() == ["", ""]


PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.example"
PROFILE = f"arn:aws:iam::{ACCOUNT}:instance-profile/nodes"


def vouched(**changed: Any) -> FederatedIdentity:
    """What a token of the provider proved."""
    account = AccountId(ACCOUNT)
    params: dict[str, Any] = {
        "principal": Principal.from_provider(
            PrincipalType.WEB_IDENTITY, account, provider=PROVIDER, subject="node-1"
        ),
        "account": account,
        "provider_arn": PROVIDER,
        "provider_id": "OIDCPEXAMPLE",
        "issuer": "https://issuer.example",
        "subject": "node-1",
    }
    return FederatedIdentity(**{**params, **changed})


@pytest.fixture
async def nodes(fleet: Fleet) -> Fleet:
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": "broker:RegisterInstanceWithWebIdentity",
    }
    trust = json.loads(TRUST)
    trust["Statement"] = [trust["Statement"], statement]
    await fleet.add_profile("nodes", json.dumps(trust))
    return fleet


async def vouch(
    fleet: Fleet,
    identity: FederatedIdentity,
    profile: str = PROFILE,
    key: Ed25519PrivateKey | None = None,
) -> str:
    """The ARN of the machine that registers."""
    services = fleet.broker.services
    answer = await perform(
        services,
        services.registry.get("broker", "RegisterInstanceWithWebIdentity"),
        {
            "InstanceProfileArn": profile,
            "WebIdentityToken": "told",
            "PublicKey": public_text(key or Ed25519PrivateKey.generate()),
        },
        told(identity=identity),
    )
    arn: str = answer["InstanceAssociation"]["InstanceArn"]
    return arn


async def test_a_provider_vouches_where_the_roles_trust_policy_says_so(
    nodes: Fleet,
) -> None:
    arn = await vouch(nodes, vouched())
    (listed,) = (await nodes.manage("ListInstances"))["Instances"]
    assert (listed["Arn"], listed["RegisteredBy"]) == (arn, PROVIDER)
    allowed = f"arn:aws:iam::{ACCOUNT}:role/nodes"
    await vouch(nodes, vouched(allowed_roles=frozenset({allowed})))
    for identity, profile in (
        (vouched(), PROFILE.replace("nodes", "web")),  # its role trusts EC2 alone
        (vouched(), PROFILE.replace("nodes", "none")),
        (vouched(), PROFILE.replace("nodes", "path/nodes")),
        (vouched(provider_arn="x", principal=other_provider()), PROFILE),
        (vouched(allowed_roles=frozenset()), PROFILE),
        (vouched(closed_roles=frozenset({allowed})), PROFILE),
        (vouched(replay_id=("jti", "1")), PROFILE),
        (vouched(sealed_lineage="sealed"), PROFILE),
    ):
        with pytest.raises((AccessDenied, InvalidIdentityToken)):
            await vouch(nodes, identity, profile)
    assert len((await nodes.manage("ListInstances"))["Instances"]) == 2


async def test_a_key_is_one_subjects(nodes: Fleet) -> None:
    key = Ed25519PrivateKey.generate()
    arn = await vouch(nodes, vouched(), key=key)
    # It did not get the answer, perhaps.
    assert await vouch(nodes, vouched(), key=key) == arn
    with pytest.raises(InvalidPublicKey):
        await vouch(nodes, vouched(subject="node-2"), key=key)
    assert len((await nodes.manage("ListInstances"))["Instances"]) == 1


async def test_a_provider_that_was_deleted_just_now_admits_nothing(
    nodes: Fleet,
) -> None:
    account, services = AccountId(ACCOUNT), nodes.broker.services
    async with services.stores.directory.change(account) as change:
        await revoke_for_good(
            change,
            account=account,
            target=vouched().provider_id,
            now=nodes.broker.clock.now(),
        )
    with pytest.raises(AccessDenied):
        await vouch(nodes, vouched())
    assert await vouch(nodes, vouched(provider_id="OIDCPNEXT"))


async def test_a_machine_that_a_provider_vouched_for_ends_for_good_with_its_subject(
    nodes: Fleet,
) -> None:
    account, services = AccountId(ACCOUNT), nodes.broker.services
    await vouch(nodes, vouched())
    kept = await vouch(nodes, vouched(subject="node-2"))
    async with services.stores.directory.change(account) as change:
        await revoke_person(
            change,
            account=account,
            issuers=[vouched().issuer],
            subject="node-1",
            now=nodes.broker.clock.now(),
        )
    listed = (await nodes.manage("ListInstances"))["Instances"]
    assert [instance["Arn"] for instance in listed] == [kept]


@cases("arn")
async def test_arns_of_other_kinds_than_instance_profiles(
    fleet: Fleet, arn: str
) -> None:
    reply = await fleet.broker.call(
        "broker",
        "RegisterInstanceWithWebIdentity",
        None,
        InstanceProfileArn=arn,
        WebIdentityToken="e30.e30.c2ln",
        PublicKey=public_text(Ed25519PrivateKey.generate()),
    )
    assert reply.code == "ValidationError"
    assert "is not an instance profile's ARN" in reply.message


def other_provider() -> Principal:
    return Principal.from_provider(
        PrincipalType.WEB_IDENTITY,
        AccountId(ACCOUNT),
        provider=f"{PROVIDER}/other",
        subject="node-1",
    )
