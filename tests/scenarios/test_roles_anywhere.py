"""IAM Roles Anywhere: certificates open roles, through the socket."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import httpx2
import pytest
from botocore.exceptions import ClientError
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from iam_rolesanywhere_session import IAMRolesAnywhereSession

from tests.support.bad_certificates import BAD
from tests.support.broker import ACCOUNT, REGION, Key, RunningBroker, running_broker
from tests.support.certificates import (
    Issued,
    elliptic_key,
    issue,
    name_of,
    rsa_key,
    usage,
)
from tests.support.machine_agent import until
from tests.support.roles_anywhere import create_session, sign
from tests.support.rows import cases
from tests.support.servers import find_free_port
from tests.support.tls import tls_before

ACTIONS = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


class World:
    """An account with a trust anchor, a profile, and a role that trusts them."""

    def __init__(self, broker: RunningBroker, root: Key, iam: Any) -> None:
        self.broker, self.root_key, self.iam = broker, root, iam
        self.root = issue("Corp Root", is_authority=True)
        self.intermediate = self.root.authority("Corp Machines", path_length=0)
        self.api = broker.client("rolesanywhere", root)
        self.anchor = self.api.create_trust_anchor(
            name="corp",
            enabled=True,
            source={
                "sourceType": "CERTIFICATE_BUNDLE",
                "sourceData": {"x509CertificateData": self.root.pem},
            },
        )["trustAnchor"]
        self.role = iam.create_role(
            RoleName="Machine",
            AssumeRolePolicyDocument=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": {
                        "Effect": "Allow",
                        "Principal": {"Service": "rolesanywhere.amazonaws.com"},
                        "Action": ACTIONS,
                        "Condition": {
                            "StringLike": {"aws:PrincipalTag/x509Subject/CN": "web*"},
                            "ArnEquals": {
                                "aws:SourceArn": self.anchor["trustAnchorArn"]
                            },
                        },
                    },
                }
            ),
        )["Role"]["Arn"]
        self.profile = self.api.create_profile(
            name="machines", roleArns=[self.role], enabled=True
        )["profile"]

    @property
    def members(self) -> dict[str, Any]:
        return {
            "trustAnchorArn": self.anchor["trustAnchorArn"],
            "profileArn": self.profile["profileArn"],
            "roleArn": self.role,
        }

    def ask(
        self,
        signer: Issued,
        *chain: Issued,
        more: dict[str, Any] | None = None,
        **knobs: Any,
    ) -> httpx2.Response:
        return create_session(
            self.broker.url,
            signer,
            {**self.members, **(more or {})},
            chain=chain,
            **knobs,
        )


@pytest.fixture(scope="module")
def world(broker: RunningBroker, root: Key, iam: Any) -> World:
    return World(broker, root, iam)


def credentials_of(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    results: dict[str, Any] = answer.json()["credentialSet"][0]
    return results


def sts_of(world: World, credentials: dict[str, str]) -> Any:
    return boto3.client(
        "sts",
        endpoint_url=world.broker.url,
        region_name=REGION,
        aws_access_key_id=credentials["accessKeyId"],
        aws_secret_access_key=credentials["secretAccessKey"],
        aws_session_token=credentials["sessionToken"],
    )


def refusal_of(answer: httpx2.Response) -> tuple[int, str, str]:
    assert "x-amzn-errortype" in answer.headers, answer.text
    return (
        answer.status_code,
        answer.headers["x-amzn-errortype"],
        answer.json()["message"],
    )


@pytest.mark.parametrize("key", [None, rsa_key()], ids=["ecdsa", "rsa"])
def test_a_certificate_opens_the_role(world: World, key: Any) -> None:
    leaf = world.intermediate.issue("web-1", key=key)
    answer = world.ask(leaf, world.intermediate)
    entry = credentials_of(answer)
    serial = f"{leaf.certificate.serial_number:x}"
    name = serial.zfill(len(serial) + len(serial) % 2)
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Machine/{name}"
    assert entry["assumedRoleUser"]["arn"] == arn
    assert entry["sourceIdentity"] == "web-1"
    assert entry["roleArn"] == world.role
    assert answer.json()["subjectArn"].startswith(
        f"arn:aws:rolesanywhere:{REGION}:{ACCOUNT}:subject/"
    )
    assert sts_of(world, entry["credentials"]).get_caller_identity()["Arn"] == arn
    ends = datetime.fromisoformat(entry["credentials"]["expiration"])
    assert timedelta(minutes=55) < ends - datetime.now(UTC) <= timedelta(hours=1)


@cases("sent")
def test_a_key_store_sends_more_than_the_intermediates(world: World, sent: str) -> None:
    """As AWS's helper does for PKCS #12, PKCS #11 and Windows' store."""
    known = {"machines": world.intermediate, "root": world.root}
    issuer = world.intermediate if "machines" in sent else world.root
    for number in range(8):
        known[f"other{number}"] = issuer.issue(f"web-{number + 2}")
    known["old"] = issuer.issue("web-1", starts=-9, days=-1)
    known["renewed"] = issuer.issue("web-1", days=60)
    known["leaf"] = leaf = issuer.issue("web-1")
    credentials_of(world.ask(leaf, *(known[name] for name in sent.split(", "))))


def test_several_headers_are_one_list(world: World) -> None:
    below = world.intermediate
    leaf = below.issue("web-1")
    url = f"{world.broker.url}/sessions"
    body = json.dumps(world.members).encode()
    signed = sign(url, body, leaf, chain=(world.root, below))
    first, second = signed.pop("X-Amz-X509-Chain").split(",")
    chain = [("X-Amz-X509-Chain", first), ("X-Amz-X509-Chain", second)]
    response = httpx2.post(url, content=body, headers=[*signed.items(), *chain])
    assert response.status_code == 201, response.text
    other = base64.b64encode(world.root.issue("web-2").der).decode()
    twice = [*signed.items(), *chain, ("X-Amz-X509", other)]
    assert httpx2.post(url, content=body, headers=twice).status_code == 403


def test_the_query_may_name_the_arns(world: World) -> None:
    members = dict(world.members)
    answer = create_session(
        world.broker.url,
        world.root.issue("web-2"),
        {"durationSeconds": 900},
        query=f"?{urlencode(members)}",
    )
    ends = datetime.fromisoformat(credentials_of(answer)["credentials"]["expiration"])
    assert ends - datetime.now(UTC) <= timedelta(minutes=15)
    twice = world.ask(world.root.issue("web-2"), query=f"?{urlencode(members)}")
    assert refusal_of(twice)[:2] == (400, "ValidationException")
    missing = create_session(world.broker.url, world.root.issue("web-2"), {})
    assert refusal_of(missing)[:2] == (400, "ValidationException")


def test_credentials_end_with_the_first_certificate_of_the_path(world: World) -> None:
    leaf = world.root.issue("web-3", days=0.02)
    entry = credentials_of(world.ask(leaf))
    ends = datetime.fromisoformat(entry["credentials"]["expiration"])
    assert ends <= leaf.certificate.not_valid_after_utc
    between = world.root.authority("Nearly Over", days=0.02)
    entry = credentials_of(world.ask(between.issue("web-3"), between))
    ends = datetime.fromisoformat(entry["credentials"]["expiration"])
    assert ends <= between.certificate.not_valid_after_utc


@pytest.mark.parametrize("case", BAD)
def test_a_bad_certificate_opens_nothing(world: World, case: str) -> None:
    leaf, chain = BAD[case](world.root, world.intermediate)
    answer = world.ask(leaf, *chain)
    assert refusal_of(answer)[:2] == (403, "AccessDeniedException"), answer.text


def test_a_serial_number_has_at_most_twenty_bytes(world: World) -> None:
    longest = world.root.issue("web-1", serial=2**160 - 1)
    entry = credentials_of(world.ask(longest))
    assert entry["assumedRoleUser"]["arn"].endswith(f"/{'f' * 40}")
    # The last is longer than Python writes as text.
    for number in (2**160, 2**60_000):
        leaf = world.root.issue("web-1", serial=number)
        answer = world.ask(leaf, serial="1")
        assert "serial number" in refusal_of(answer)[2]
        between = world.root.authority("Between", serial=number)
        answer = world.ask(between.issue("web-1"), between)
        assert "serial number" in refusal_of(answer)[2]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda der: der[:-1],
        lambda der: der[: len(der) // 2],
        lambda der: der + b"\0",
        lambda der: der + der,
        lambda der: der.replace(b"Corp", b"C0rp"),
        lambda der: der[:-1] + bytes([der[-1] ^ 1]),
        lambda der: b"\x30\x84\xff\xff\xff\xff" + der[4:],
        lambda der: b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der),
        lambda _: b"\x30" * 3_000,
        lambda _: b"{}",
    ],
)
@pytest.mark.parametrize("header", ["X-Amz-X509", "X-Amz-X509-Chain"])
def test_a_spoiled_certificate_opens_nothing(
    world: World, header: str, spoil: Any
) -> None:
    leaf = world.intermediate.issue("web-1")
    whole = leaf if header == "X-Amz-X509" else world.intermediate
    spoiled = base64.b64encode(spoil(whole.der)).decode()
    answer = world.ask(leaf, world.intermediate, headers={header: spoiled})
    assert refusal_of(answer)[:2] == (403, "AccessDeniedException"), answer.text


@pytest.mark.parametrize("member", ["trustAnchorArn", "profileArn"])
@cases("old, new")
def test_the_arns_are_taken_literally(
    world: World, member: str, old: str, new: str
) -> None:
    other = world.members[member].replace(old, new, 1)
    answer = world.ask(world.root.issue("web-1"), more={member: other})
    assert refusal_of(answer)[:2] in {
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
    }


@cases("member, kind, other")
def test_the_arn_of_something_else_is_invalid(
    world: World, member: str, kind: str, other: str
) -> None:
    wrong = world.members[member].replace(kind, other)
    answer = world.ask(world.root.issue("web-1"), more={member: wrong})
    assert refusal_of(answer) == (400, "ValidationException", f"{wrong} is invalid")


def test_more_intermediates_than_five_are_refused(world: World) -> None:
    chain = [world.root]
    for number in range(6):
        chain.insert(0, chain[0].authority(f"Level {number}"))
    leaf = chain[0].issue("web-1")
    assert world.ask(leaf, *chain[:-1]).status_code == 403
    shorter = chain[1].issue("web-1")
    assert world.ask(shorter, *chain[1:-1]).status_code == 201
    # What a key store adds does not count: the end entity, repeats and the anchor's own.
    assert world.ask(shorter, shorter, *chain[1:], chain[1]).status_code == 201


@pytest.mark.parametrize(
    ("knobs", "code"),
    [
        ({"serial": "1"}, "AccessDeniedException"),
        ({"key": elliptic_key()}, "AccessDeniedException"),
        ({"algorithm": "AWS4-X509-RSA-SHA256"}, "AccessDeniedException"),
        ({"algorithm": "AWS4-HMAC-SHA256"}, "IncompleteSignatureException"),
        ({"region": "eu-west-1"}, "AccessDeniedException"),
        ({"service": "sts"}, "InvalidSignatureException"),
        ({"at": datetime(2026, 1, 1, tzinfo=UTC)}, "InvalidSignatureException"),
        ({"headers": {"X-Amz-X509": "AAAA"}}, "AccessDeniedException"),
        ({"headers": {"X-Amz-X509": ""}}, "AccessDeniedException"),
        ({"headers": {"X-Amz-X509": "A" * 13_000}}, "AccessDeniedException"),
        ({"headers": {"X-Amz-X509-Chain": "x"}}, "AccessDeniedException"),
    ],
)
def test_a_bad_signature_opens_nothing(
    world: World, knobs: dict[str, Any], code: str
) -> None:
    answer = world.ask(world.root.issue("web-1"), **knobs)
    assert refusal_of(answer)[1] == code, answer.text


def test_a_certificate_that_proved_itself_proves_nothing_by_itself(
    world: World,
) -> None:
    leaf = world.intermediate.issue("web-1")
    assert world.ask(leaf, world.intermediate).status_code == 201
    assert world.ask(leaf, world.intermediate, key=elliptic_key()).status_code == 403
    # What it proved does not stand in for the certificates of another request.
    assert world.ask(leaf).status_code == 403
    assert world.ask(leaf, world.intermediate).status_code == 201


def test_a_certificate_proves_nothing_to_an_anchor_that_changed(world: World) -> None:
    def bundle(authority: Issued) -> dict[str, Any]:
        return {
            "sourceType": "CERTIFICATE_BUNDLE",
            "sourceData": {"x509CertificateData": authority.pem},
        }

    anchor = world.anchor["trustAnchorId"]
    leaf = world.root.issue("web-1")
    assert world.ask(leaf).status_code == 201
    other = issue("Corp Root", is_authority=True)
    world.api.update_trust_anchor(trustAnchorId=anchor, source=bundle(other))
    assert world.ask(leaf).status_code == 403
    world.api.update_trust_anchor(trustAnchorId=anchor, source=bundle(world.root))
    assert world.ask(leaf).status_code == 201


def test_what_was_signed_is_what_counts(world: World) -> None:
    leaf = world.root.issue("web-1")
    url = f"{world.broker.url}/sessions"
    body = json.dumps(world.members).encode()
    headers = sign(url, body, leaf)
    other = json.dumps({**world.members, "durationSeconds": 43200}).encode()
    assert httpx2.post(url, content=other, headers=headers).status_code == 403
    assert httpx2.post(f"{url}?x=1", content=body, headers=headers).status_code == 403
    another = sign(url, body, world.root.issue("web-2"))
    swapped = {**headers, "X-Amz-X509": another["X-Amz-X509"]}
    assert httpx2.post(url, content=body, headers=swapped).status_code == 403
    unsigned = {**headers, "X-Amz-X509-Chain": another["X-Amz-X509"]}
    assert httpx2.post(url, content=body, headers=unsigned).status_code == 403
    bare = httpx2.post(url, content=body)
    assert refusal_of(bare)[1] == "MissingAuthenticationTokenException"
    assert httpx2.post(url, content=body, headers=headers).status_code == 201


def test_the_trust_policy_decides(world: World) -> None:
    answer = world.ask(world.root.issue("db-1"))
    status, code, message = refusal_of(answer)
    assert (status, code) == (403, "AccessDeniedException")
    assert "is not authorized to perform: sts:AssumeRole" in message
    lookalike = world.root.issue(name_of(O="web-1", CN="db"))
    assert world.ask(lookalike).status_code == 403


def test_everybody_is_not_a_machine(world: World) -> None:
    role = world.iam.create_role(
        RoleName="Everybody",
        AssumeRolePolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": ACTIONS,
                },
            }
        ),
    )["Role"]["Arn"]
    profile = world.api.create_profile(name="everybody", roleArns=[role], enabled=True)[
        "profile"
    ]
    answer = world.ask(
        world.root.issue("web-1"),
        more={"roleArn": role, "profileArn": profile["profileArn"]},
    )
    assert answer.status_code == 403
    world.api.delete_profile(profileId=profile["profileId"])


@pytest.mark.parametrize(
    ("name", "value"), [("cert", "AAAA"), ("instanceProperties", {"name": "web-1"})]
)
def test_what_is_not_supported_is_refused_by_name(
    world: World, name: str, value: object
) -> None:
    answer = world.ask(world.root.issue("web-1"), more={name: value})
    assert refusal_of(answer) == (
        400,
        "UnsupportedOperationException",
        f"The parameter {name} is not supported.",
    )


def test_what_no_tag_can_have_is_named(world: World) -> None:
    names = x509.SubjectAlternativeName([x509.DNSName("*.corp.example")])
    leaf = world.root.issue(
        name_of(CN="web-1", O="Corp & Sons", OU="x" * 257), extensions=[(names, False)]
    )
    status, code, said = refusal_of(world.ask(leaf))
    assert (status, code) == (403, "AccessDeniedException")
    assert said == (
        f"Unable to assume role for {world.role}. Some attributes failed to be mapped"
        " into session tags. Issuer: [  ]; Subject: [ O, OU ]; SAN: [ DNS ]"
    )


def test_an_expired_certificate_is_not_an_untrusted_one(world: World) -> None:
    leaf = world.root.issue("web-1", starts=-9, days=-1)
    assert refusal_of(world.ask(leaf))[2] == "Certificate expired."


def test_every_list_of_a_file_counts(world: World) -> None:
    leaf, other = (world.intermediate.issue("web-1") for _ in range(2))
    made = world.api.import_crl(
        name="both",
        enabled=True,
        crlData=world.root.revoke() + world.intermediate.revoke(leaf),
        trustAnchorArn=world.anchor["trustAnchorArn"],
    )["crl"]
    assert refusal_of(world.ask(leaf, world.intermediate))[2] == "Certificate revoked."
    assert world.ask(other, world.intermediate).status_code == 201
    forged = issue("Corp Root", is_authority=True).revoke()
    with pytest.raises(ClientError, match="not signed"):
        world.api.update_crl(
            crlId=made["crlId"], crlData=world.intermediate.revoke() + forged
        )
    world.api.delete_crl(crlId=made["crlId"])


def test_a_profile_limits(world: World) -> None:
    leaf = world.root.issue("web-1")
    other = world.ask(leaf, more={"roleArn": f"arn:aws:iam::{ACCOUNT}:role/Other"})
    assert refusal_of(other)[:2] == (403, "AccessDeniedException")
    named = world.ask(leaf, more={"roleSessionName": "mine"})
    assert refusal_of(named) == (
        403,
        "AccessDeniedException",
        "Not authorized to set roleSessionName.",
    )
    profile = world.api.create_profile(
        name="narrow",
        roleArns=[world.role],
        enabled=True,
        durationSeconds=900,
        acceptRoleSessionName=True,
        sessionPolicy=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {
                    "Effect": "Allow",
                    "Action": "iam:ListUsers",
                    "Resource": "*",
                },
            }
        ),
    )["profile"]
    more = {"profileArn": profile["profileArn"], "roleSessionName": "mine"}
    entry = credentials_of(world.ask(leaf, more={**more, "durationSeconds": 3600}))
    assert entry["assumedRoleUser"]["arn"].endswith("/mine")
    assert entry["packedPolicySize"] > 0
    ends = datetime.fromisoformat(entry["credentials"]["expiration"])
    assert ends - datetime.now(UTC) <= timedelta(minutes=15)
    world.api.disable_profile(profileId=profile["profileId"])
    assert world.ask(leaf, more=more).status_code == 403
    world.api.delete_profile(profileId=profile["profileArn"])


def allow(action: str) -> str:
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def test_the_policies_of_a_profile_narrow_the_session(world: World) -> None:
    world.iam.put_role_policy(
        RoleName="Machine", PolicyName="lists", PolicyDocument=allow("iam:List*")
    )
    managed = world.iam.create_policy(
        PolicyName="ListRoles", PolicyDocument=allow("iam:ListRoles")
    )["Policy"]["Arn"]
    for members, can in (
        ({}, {"list_users", "list_roles"}),
        ({"sessionPolicy": allow("iam:ListUsers")}, {"list_users"}),
        ({"managedPolicyArns": [managed]}, {"list_roles"}),
    ):
        profile = world.api.create_profile(
            name="narrow", roleArns=[world.role], enabled=True, **members
        )["profile"]["profileArn"]
        answer = world.ask(world.root.issue("web-1"), more={"profileArn": profile})
        held = credentials_of(answer)["credentials"]
        key = Key(held["accessKeyId"], held["secretAccessKey"], held["sessionToken"])
        iam = world.broker.client("iam", key)
        for call in ("list_users", "list_roles"):
            if call in can:
                getattr(iam, call)()
            else:
                with pytest.raises(ClientError, match="AccessDenied"):
                    getattr(iam, call)()
        world.api.delete_profile(profileId=profile)


LONG = f"arn:aws:iam::{ACCOUNT}:policy/{'x' * 120}"


@pytest.mark.parametrize(
    ("members", "code", "said"),
    [
        (
            {"roleArns": ["arn:aws:iam::444455556666:role/M"]},
            "Validation",
            "not a role",
        ),
        ({"roleArns": [f"arn:aws:iam::{ACCOUNT}:roles/M"]}, "Validation", "not a role"),
        ({"sessionPolicy": "{}"}, "", "olicy"),
        ({"sessionPolicy": allow("iam:*")[:-1]}, "", "olicy"),
        (
            {"managedPolicyArns": [f"arn:aws:iam::{ACCOUNT}:policy/No"]},
            "Validation",
            "does not exist",
        ),
        (
            {"managedPolicyArns": [f"{LONG}{entry}" for entry in range(11)]},
            "Validation",
            "at most",
        ),
        (
            {
                "sessionPolicy": allow("iam:" + "x" * 600),
                "managedPolicyArns": [f"{LONG}{entry}" for entry in range(10)],
            },
            "Validation",
            "characters together",
        ),
    ],
)
def test_a_profile_that_cannot_be(
    world: World, members: dict[str, Any], code: str, said: str
) -> None:
    params = {"roleArns": [world.role], **members}
    with pytest.raises(ClientError, match=said) as made:
        world.api.create_profile(name="bad", **params)
    with pytest.raises(ClientError, match=said) as changed:
        world.api.update_profile(profileId=world.profile["profileId"], **members)
    for info in (made, changed):
        assert info.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        assert code in info.value.response["Error"]["Code"]


def test_another_accounts_profile_is_not_for_these_certificates(world: World) -> None:
    root = world.broker.create_account("444455556666")
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "rolesanywhere.amazonaws.com"},
        "Action": ACTIONS,
    }
    theirs = world.broker.client("iam", root).create_role(
        RoleName="Machine",
        AssumeRolePolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": statement}
        ),
    )["Role"]["Arn"]
    profile = world.broker.client("rolesanywhere", root).create_profile(
        name="theirs", roleArns=[theirs], enabled=True
    )["profile"]["profileArn"]
    leaf = world.root.issue("web-1")
    for role in (theirs, world.role):
        answer = world.ask(leaf, more={"roleArn": role, "profileArn": profile})
        assert refusal_of(answer)[2] == "Unable to assume role with this profile."
    mixed = world.ask(leaf, more={"roleArn": theirs})
    assert refusal_of(mixed)[:2] == (403, "AccessDeniedException")


def test_another_regions_profile_is_not_for_these_certificates(world: World) -> None:
    elsewhere = boto3.client(
        "rolesanywhere",
        endpoint_url=world.broker.url,
        region_name="eu-west-1",
        aws_access_key_id=world.root_key.access_key_id,
        aws_secret_access_key=world.root_key.secret_access_key,
    )
    made = elsewhere.create_profile(
        name="elsewhere", roleArns=[world.role], enabled=True
    )["profile"]
    answer = world.ask(
        world.root.issue("web-1"), more={"profileArn": made["profileArn"]}
    )
    assert refusal_of(answer)[2] == "Unable to assume role with this profile."
    assert made["profileId"] not in {
        profile["profileId"] for profile in world.api.list_profiles()["profiles"]
    }
    for name in (made["profileId"], made["profileArn"]):
        with pytest.raises(ClientError, match="ResourceNotFoundException"):
            world.api.get_profile(profileId=name)
    elsewhere.delete_profile(profileId=made["profileArn"])


def test_mappings_say_which_tags_there_are(world: World) -> None:
    leaf = world.root.issue(name_of(CN="web-1", OU="Blue"))
    identifier = world.profile["profileId"]
    mapped = {
        mapping["certificateField"]: [
            rule["specifier"] for rule in mapping["mappingRules"]
        ]
        for mapping in world.profile["attributeMappings"]
    }
    assert mapped == {
        "x509Issuer": ["*"],
        "x509SAN": ["DNS", "URI", "Name/*"],
        "x509Subject": ["*"],
    }
    world.api.delete_attribute_mapping(
        profileId=identifier, certificateField="x509Subject"
    )
    assert world.ask(leaf).status_code == 403
    world.api.put_attribute_mapping(
        profileId=identifier,
        certificateField="x509Subject",
        mappingRules=[{"specifier": "CN"}],
    )
    assert world.ask(leaf).status_code == 201
    with pytest.raises(ClientError, match="not a specifier"):
        world.api.put_attribute_mapping(
            profileId=identifier,
            certificateField="x509Subject",
            mappingRules=[{"specifier": "X"}],
        )
    world.api.put_attribute_mapping(
        profileId=identifier,
        certificateField="x509Subject",
        mappingRules=[{"specifier": "*"}],
    )


def test_a_revoked_certificate_opens_nothing(world: World) -> None:
    good, bad = (world.intermediate.issue(name) for name in ("web-1", "web-2"))
    anchor = world.anchor["trustAnchorArn"]
    below = world.api.import_crl(
        name="machines",
        crlData=world.intermediate.revoke(bad),
        enabled=True,
        trustAnchorArn=anchor,
    )["crl"]
    assert world.ask(good, world.intermediate).status_code == 201
    refused = world.ask(bad, world.intermediate)
    assert refusal_of(refused)[2] == "Certificate revoked."
    world.api.disable_crl(crlId=below["crlId"])
    assert world.ask(bad, world.intermediate).status_code == 201
    world.api.enable_crl(crlId=below["crlId"])
    # Lists that are out of date, or somebody else's, leave open what is revoked.
    world.api.update_crl(
        crlId=below["crlId"], crlData=world.intermediate.revoke(days=-0.5)
    )
    assert "out of date" in refusal_of(world.ask(good, world.intermediate))[2]
    forged = issue("Corp Machines", is_authority=True)
    world.api.update_crl(crlId=below["crlId"], crlData=forged.revoke())
    assert "not signed by it" in refusal_of(world.ask(good, world.intermediate))[2]
    world.api.delete_crl(crlId=below["crlId"])
    above = world.api.import_crl(
        name="root",
        crlData=world.root.revoke(world.intermediate),
        enabled=True,
        trustAnchorArn=anchor,
    )["crl"]
    assert world.ask(good, world.intermediate).status_code == 403
    with pytest.raises(ClientError, match="not signed with the trust anchor"):
        world.api.update_crl(
            crlId=above["crlId"], crlData=issue("Corp Root", is_authority=True).revoke()
        )
    with pytest.raises(ClientError, match="cannot be read"):
        world.api.update_crl(crlId=above["crlId"], crlData=b"nothing")
    world.api.delete_crl(crlId=above["crlId"])


def revoke_subject(world: World, leaf: Issued, *words: str) -> None:
    named = (
        *("--issuer", leaf.certificate.issuer.rfc4514_string()),
        *("--subject", leaf.certificate.subject.rfc4514_string()),
    )
    world.broker.command("sessions", "revoke", ACCOUNT, *named, *words)


def test_a_revoked_subjects_certificate_opens_nothing_and_a_renewed_one_does(
    world: World,
) -> None:
    """As what any provider issued before: a certificate's time is its ``notBefore``."""
    leaf, other = (world.root.issue(name) for name in ("web-left", "web-stays"))
    held = credentials_of(world.ask(leaf))["credentials"]
    revoke_subject(world, leaf)
    until(lambda: world.ask(leaf).status_code == 403)
    assert refusal_of(world.ask(leaf))[2] == "Certificate revoked."
    with pytest.raises(ClientError, match="ExpiredToken"):
        sts_of(world, held).get_caller_identity()
    assert world.ask(other).status_code == 201
    until(lambda: world.ask(world.root.issue("web-left", starts=0)).status_code == 201)
    revoke_subject(world, leaf, "--bar")
    barred = world.root.issue("web-left", starts=0)
    until(lambda: world.ask(barred).status_code == 403)
    assert "barred" in refusal_of(world.ask(barred))[2]
    revoke_subject(world, leaf, "--lift")
    until(lambda: world.ask(world.root.issue("web-left", starts=0)).status_code == 201)


def test_a_list_is_for_one_trust_anchor(world: World) -> None:
    second = world.api.create_trust_anchor(
        name="same authority", enabled=True, source=world.anchor["source"]
    )["trustAnchor"]
    leaf = world.root.issue("web-1")
    world.api.import_crl(
        name="for the second",
        crlData=world.root.revoke(leaf),
        enabled=True,
        trustAnchorArn=second["trustAnchorArn"],
    )
    revoked = world.ask(leaf, more={"trustAnchorArn": second["trustAnchorArn"]})
    assert refusal_of(revoked)[2] == "Certificate revoked."
    assert world.ask(leaf).status_code == 201
    # Its lists go with it.
    world.api.delete_trust_anchor(trustAnchorId=second["trustAnchorId"])
    assert second["trustAnchorArn"] not in {
        crl["trustAnchorArn"] for crl in world.api.list_crls()["crls"]
    }


def test_who_deletes_an_anchor_ends_what_it_opened(world: World) -> None:
    second = world.api.create_trust_anchor(
        name="second",
        enabled=True,
        source={
            "sourceType": "CERTIFICATE_BUNDLE",
            "sourceData": {"x509CertificateData": world.root.pem},
        },
    )["trustAnchor"]
    trust = world.iam.get_role(RoleName="Machine")["Role"]["AssumeRolePolicyDocument"]
    trust["Statement"]["Condition"].pop("ArnEquals")
    world.iam.update_assume_role_policy(
        RoleName="Machine", PolicyDocument=json.dumps(trust)
    )
    leaf = world.root.issue("web-1")
    more = {"trustAnchorArn": second["trustAnchorArn"]}
    held = credentials_of(world.ask(leaf, more=more))["credentials"]
    kept = credentials_of(world.ask(leaf))["credentials"]
    world.api.disable_trust_anchor(trustAnchorId=second["trustAnchorId"])
    assert world.ask(leaf, more=more).status_code == 403
    assert sts_of(world, held).get_caller_identity()
    world.api.delete_trust_anchor(trustAnchorId=second["trustAnchorId"])
    with pytest.raises(ClientError, match="ExpiredToken"):
        sts_of(world, held).get_caller_identity()
    assert sts_of(world, kept).get_caller_identity()


def test_permissions_and_passing(world: World) -> None:
    user = world.iam.create_user(UserName="operator")["User"]
    key = world.iam.create_access_key(UserName="operator")["AccessKey"]
    allow = {"Effect": "Allow", "Action": "rolesanywhere:*", "Resource": "*"}
    world.iam.put_user_policy(
        UserName="operator",
        PolicyName="anywhere",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": allow}),
    )
    api = world.broker.client(
        "rolesanywhere", Key(key["AccessKeyId"], key["SecretAccessKey"])
    )
    assert api.list_profiles()["profiles"]
    with pytest.raises(ClientError, match="iam:PassRole"):
        api.create_profile(name="mine", roleArns=[world.role])
    with pytest.raises(ClientError, match="iam:PassRole"):
        api.update_profile(profileId=world.profile["profileId"], roleArns=[world.role])
    with pytest.raises(ClientError, match="iam:PassRole"):
        api.enable_profile(profileId=world.profile["profileId"])
    api.disable_profile(profileId=world.profile["profileId"])
    world.api.enable_profile(profileId=world.profile["profileId"])
    made = api.create_profile(name="empty", roleArns=[])["profile"]
    assert made["createdBy"] == user["Arn"]
    api.delete_profile(profileId=made["profileId"])


def test_a_policy_may_go_by_tags(world: World) -> None:
    world.iam.create_user(UserName="blue")
    made = world.iam.create_access_key(UserName="blue")["AccessKey"]
    own, new = (
        {
            "Effect": "Allow",
            "Action": "rolesanywhere:*",
            "Resource": "*",
            "Condition": {"StringEquals": {f"aws:{kind}Tag/team": "blue"}},
        }
        for kind in ("Resource", "Request")
    )
    world.iam.put_user_policy(
        UserName="blue",
        PolicyName="blue",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [own, new]}),
    )
    api = world.broker.client(
        "rolesanywhere", Key(made["AccessKeyId"], made["SecretAccessKey"])
    )
    params = {"name": "blue", "source": world.anchor["source"]}
    for tags in ([], [{"key": "team", "value": "red"}]):
        with pytest.raises(ClientError, match="AccessDenied"):
            api.create_trust_anchor(**params, tags=tags)
    blue = [{"key": "team", "value": "blue"}]
    identifier = api.create_trust_anchor(**params, tags=blue)["trustAnchor"][
        "trustAnchorId"
    ]
    assert api.get_trust_anchor(trustAnchorId=identifier)
    with pytest.raises(ClientError, match="AccessDenied"):
        api.get_trust_anchor(trustAnchorId=world.anchor["trustAnchorId"])
    api.delete_trust_anchor(trustAnchorId=identifier)


@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        ("AWS_ACM_PCA", "UnsupportedOperationException", "only CERTIFICATE_BUNDLE"),
        ("CERTIFICATE_BUNDLE", "ValidationException", "x509CertificateData"),
    ],
)
def test_an_anchor_is_a_bundle_of_certificates(
    world: World, kind: str, code: str, said: str
) -> None:
    data = {"acmPcaArn": "arn:aws:acm-pca:us-east-1:111122223333:x"}
    source = {"sourceType": kind, "sourceData": data}
    with pytest.raises(ClientError, match=said) as refused:
        world.api.create_trust_anchor(name="other", source=source)
    assert refused.value.response["Error"]["Code"] == code


def test_an_anchor_has_two_lists_at_most(world: World) -> None:
    second = world.api.create_trust_anchor(
        name="many lists", source=world.anchor["source"]
    )["trustAnchor"]
    params = {
        "crlData": world.root.revoke(),
        "trustAnchorArn": second["trustAnchorArn"],
    }
    for name in ("one", "two"):
        world.api.import_crl(name=name, **params)
    with pytest.raises(ClientError, match="CrlsPerTrustAnchor: 2"):
        world.api.import_crl(name="three", **params)
    world.api.delete_trust_anchor(trustAnchorId=second["trustAnchorId"])


@pytest.mark.parametrize(
    "pem",
    [
        "nothing",
        issue("web-1").pem,
        issue("Weak", is_authority=True, key=rsa_key(1024)).pem,
        issue("No signing", is_authority=True, uses=usage("crl_sign")).pem,
        "".join(issue(f"{entry}", is_authority=True).pem for entry in range(101)),
        "".join(issue("Strong", is_authority=True).pem for _ in range(5)),
    ],
    ids=["text", "end entity", "weak", "no signing", "too many", "namesakes"],
)
def test_an_unfit_anchor_is_refused(world: World, pem: str) -> None:
    with pytest.raises(ClientError) as refused:
        world.api.create_trust_anchor(
            name="bad",
            source={
                "sourceType": "CERTIFICATE_BUNDLE",
                "sourceData": {"x509CertificateData": pem},
            },
        )
    assert refused.value.response["Error"]["Code"] == "ValidationException"


def test_what_happened_is_on_record(tmp_path: Path) -> None:
    # A broker of its own: bursts of refusals are counted, not listed.
    with running_broker(tmp_path) as broker:
        root = broker.create_account()
        _check_records(World(broker, root, broker.client("iam", root)))


def _check_records(world: World) -> None:
    leaf = world.root.issue("web-9")
    credentials_of(world.ask(leaf))
    assert world.ask(issue("web-9")).status_code == 403
    no_profile = world.members["profileArn"].replace("/", "/0")
    assert world.ask(leaf, more={"profileArn": no_profile}).status_code == 403
    records: list[dict[str, Any]] = []

    def are_there() -> bool:
        words = ("--action", "CreateSession", "--json")
        listed = world.broker.command("audit", *words).splitlines()
        records[:] = [json.loads(line) for line in listed]
        return len(records) == 3

    until(are_there)
    refused = [record for record in records if record["decision"] != "allowed"]
    assert {entry["reason"].partition(":")[0] for entry in refused} == {
        "no valid path leads from the certificate to the trust anchor",
        "there is no profile arn",
    }
    assert {entry["account"] for entry in refused} == {ACCOUNT}
    assert {entry["error_code"] for entry in refused} == {"AccessDeniedException"}
    said = [record["parameters"]["certificate"] for record in records]
    assert {entry["subject"] for entry in said} == {"CN=web-9"}
    assert said[0] == said[2] != said[1]
    assert int(said[2]["serialNumber"], 16) == leaf.certificate.serial_number
    assert said[2]["notAfter"] == leaf.certificate.not_valid_after_utc.isoformat()
    anchor = world.members["trustAnchorArn"]
    assert [entry["resources"] for entry in refused] == [[anchor], [anchor]]
    assert hashes.SHA256.name not in str(records)


def test_aws_own_client_gets_credentials_and_renews_them(tmp_path: Path) -> None:
    """Through TLS: iam-rolesanywhere-session knows nothing else."""
    listen = find_free_port()
    origin = f"https://localhost:{listen}"
    with running_broker(
        tmp_path, public_url=origin, trusted_proxies="127.0.0.1/32"
    ) as broker:
        root = broker.create_account()
        world = World(broker, root, broker.client("iam", root))
        leaf = world.intermediate.issue("web-1", key=rsa_key())
        files = {"leaf": leaf.pem, "key": leaf.key_pem, "chain": world.intermediate.pem}
        for name, pem in files.items():
            (tmp_path / f"{name}.pem").write_text(pem)
        with tls_before(tmp_path, listen, broker.port) as trusted:
            session = IAMRolesAnywhereSession(
                profile_arn=world.profile["profileArn"],
                role_arn=world.role,
                trust_anchor_arn=world.anchor["trustAnchorArn"],
                certificate=str(tmp_path / "leaf.pem"),
                private_key=str(tmp_path / "key.pem"),
                certificate_chain=str(tmp_path / "chain.pem"),
                region=REGION,
                endpoint=f"localhost:{listen}",
                verify=str(trusted),
            )
            credentials = session.get_refreshable_credentials()
            sts = session.get_session().client("sts", endpoint_url=origin)
            assert ":assumed-role/Machine/" in sts.get_caller_identity()["Arn"]
            first = credentials.get_frozen_credentials()
            credentials._expiry_time = datetime.now(UTC)
            second = credentials.get_frozen_credentials()
    assert first.access_key != second.access_key
