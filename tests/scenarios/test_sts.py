"""STS as its clients meet it, operation by operation, on both kinds of storage."""

import json
import math
import time
import urllib.error
import urllib.request
from typing import Any

import jwt
import pytest
from botocore.exceptions import ClientError
from joserfc import jwt as jose
from joserfc.jwk import KeySet

from tests.scenarios.installation import ADMIN, Installation, policy, trust
from tests.support.broker import ACCOUNT, REGION, Key

MEMBER = "210987654321"
ROOTED = "210987654322"
TASKED = "210987654323"
ROOT_TASKS = "arn:aws:iam::aws:policy/root-task"
EVERYTHING = policy("*")


class World:
    """A user with a key, a role that the user may assume, and clients."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.broker = installation.broker
        self.iam = installation.iam
        self.user = self.make_user("alice", EVERYTHING)
        self.iam.create_role(
            RoleName="Worker",
            AssumeRolePolicyDocument=trust(
                ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, _ASSUME, None)
            ),
            MaxSessionDuration=7200,
        )
        self.iam.put_role_policy(
            RoleName="Worker", PolicyName="All", PolicyDocument=EVERYTHING
        )
        self.worker = f"arn:aws:iam::{ACCOUNT}:role/Worker"

    def make_user(self, name: str, document: str | None) -> Key:
        self.iam.create_user(UserName=name)
        if document is not None:
            self.iam.put_user_policy(
                UserName=name, PolicyName="Own", PolicyDocument=document
            )
        made = self.iam.create_access_key(UserName=name)["AccessKey"]
        return Key.of(made)

    def sts(self, key: Key | dict[str, Any] | None = None) -> Any:
        if isinstance(key, dict):
            key = Key.of(key["Credentials"])
        return self.broker.client("sts", key or self.user)

    def assume(self, key: Key | dict[str, Any] | None = None, **more: Any) -> Any:
        params = {"RoleArn": self.worker, "RoleSessionName": "work"}
        return self.sts(key).assume_role(**{**params, **more})


_ASSUME = ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"]


@pytest.fixture(scope="module")
def world(installation: Installation) -> World:
    return World(installation)


def error_of(call: Any, *arguments: Any, **params: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        call(*arguments, **params)
    error: dict[str, Any] = {**caught.value.response["Error"]}
    error["Status"] = caught.value.response["ResponseMetadata"]["HTTPStatusCode"]
    return error


def life_of(answer: dict[str, Any]) -> float:
    ends: float = answer["Credentials"]["Expiration"].timestamp()
    return ends - time.time()


def test_a_session_token_is_the_user_for_half_a_day(world: World) -> None:
    answer = world.sts().get_session_token()
    who = world.sts(answer).get_caller_identity()
    assert who["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert 43_000 < life_of(answer) <= 43_200
    token = answer["Credentials"]["SessionToken"]
    assert answer["SessionTokenSize"] == len(token)
    assert answer["SessionTokenUtilization"] == -(-100 * len(token) // 4096)


def test_roots_sessions_last_an_hour_whatever_it_asks_for(world: World) -> None:
    sts = world.sts(world.installation.root)
    assert life_of(sts.get_session_token(DurationSeconds=129_600)) <= 3600
    answer = sts.get_federation_token(Name="guest", DurationSeconds=129_600)
    assert life_of(answer) <= 3600


def test_user_sessions_have_bounds(world: World) -> None:
    seconds = 129_601
    for call in (
        world.sts().get_session_token,
        lambda **more: world.sts().get_federation_token(Name="guest", **more),
    ):
        error = error_of(call, DurationSeconds=seconds)
        assert error["Code"] == "ValidationError"
        assert f"Value '{seconds}' at 'durationSeconds'" in error["Message"]


def test_a_user_who_may_nothing_gets_a_session_token(world: World) -> None:
    key = world.make_user("nobody", policy("sts:*", effect="Deny"))
    answer = world.sts(key).get_session_token()
    assert world.sts(answer).get_caller_identity()["Arn"].endswith(":user/nobody")


def test_temporary_credentials_make_no_user_sessions(world: World) -> None:
    for answer in (
        world.assume(),
        world.sts().get_session_token(),
        world.sts().get_federation_token(Name="guest", Policy=EVERYTHING),
    ):
        sts = world.sts(answer)
        session = error_of(sts.get_session_token)
        federation = error_of(sts.get_federation_token, Name="guest")
        assert session["Message"] == (
            "Cannot call GetSessionToken with session credentials"
        )
        assert federation["Message"] == (
            "Cannot call GetFederationToken with session credentials"
        )
        assert session["Status"] == federation["Status"] == 403


def test_user_sessions_call_little_of_sts(world: World) -> None:
    session = world.sts(world.sts().get_session_token())
    federated = world.sts(
        world.sts().get_federation_token(Name="guest", Policy=EVERYTHING)
    )
    for sts in (session, federated):
        assert sts.get_caller_identity()["Account"] == ACCOUNT
        for call, params in (
            (sts.get_access_key_info, {"AccessKeyId": world.user.access_key_id}),
            (sts.decode_authorization_message, {"EncodedMessage": "x"}),
            (sts.get_delegated_access_token, {"TradeInToken": "x"}),
            (
                sts.get_web_identity_token,
                {"Audience": ["a"], "SigningAlgorithm": "RS256"},
            ),
        ):
            assert error_of(call, **params)["Code"] == "AccessDenied"
    assert session.assume_role(RoleArn=world.worker, RoleSessionName="work")
    refused = error_of(
        federated.assume_role, RoleArn=world.worker, RoleSessionName="work"
    )
    assert refused["Code"] == "AccessDenied"


def test_a_federation_token_is_the_users_permissions_cut_by_its_policy(
    world: World,
) -> None:
    answer = world.sts().get_federation_token(
        Name="guest",
        Policy=policy("sts:GetScopedCredentials"),
        Tags=[{"Key": "Team", "Value": "blue"}],
    )
    assert answer["FederatedUser"] == {
        "FederatedUserId": f"{ACCOUNT}:guest",
        "Arn": f"arn:aws:sts::{ACCOUNT}:federated-user/guest",
    }
    token = answer["Credentials"]["SessionToken"]
    assert answer["PackedPolicySize"] == math.ceil(100 * len(token) / 4096)
    who = world.sts(answer).get_caller_identity()
    assert who["UserId"] == f"{ACCOUNT}:guest"
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:federated-user/guest"


def test_a_federation_token_without_policies_may_nothing(world: World) -> None:
    answer = world.sts().get_federation_token(Name="guest")
    assert answer["PackedPolicySize"] == answer["SessionTokenUtilization"]
    error = error_of(world.sts(answer).get_scoped_credentials, Policy=EVERYTHING)
    assert error["Code"] == "AccessDenied"


def test_lending_and_tagging_need_permission(world: World) -> None:
    key = world.make_user("lender", policy("sts:GetFederationToken"))
    sts = world.sts(key)
    assert sts.get_federation_token(Name="guest")
    error = error_of(
        sts.get_federation_token, Name="guest", Tags=[{"Key": "a", "Value": "b"}]
    )
    assert error["Message"] == (
        f"User: arn:aws:iam::{ACCOUNT}:user/lender is not authorized to perform:"
        f" sts:TagSession on resource: arn:aws:sts::{ACCOUNT}:federated-user/guest"
    )


def test_user_sessions_end_with_the_key_that_made_them(world: World) -> None:
    key = world.make_user("leaver", EVERYTHING)
    sts = world.sts(key)
    ending = [sts.get_session_token(), sts.get_federation_token(Name="guest")]
    role = world.assume(key)
    world.iam.update_access_key(
        UserName="leaver", AccessKeyId=key.access_key_id, Status="Inactive"
    )
    for answer in ending:
        error = error_of(world.sts(answer).get_caller_identity)
        assert error["Code"] == "InvalidClientTokenId"
    assert world.sts(role).get_caller_identity()


def test_a_second_factor_that_no_one_has_is_refused(world: World) -> None:
    serial = f"arn:aws:iam::{ACCOUNT}:mfa/alice"
    for call in (world.sts().get_session_token, world.assume):
        error = error_of(call, SerialNumber=serial, TokenCode="123456")
        assert error["Code"] == "AccessDenied"
        assert error["Message"].startswith("MultiFactorAuthentication failed, unable")
        for alone in ({"SerialNumber": serial}, {"TokenCode": "123456"}):
            error = error_of(call, **alone)
            assert (error["Code"], error["Message"]) == (
                "AccessDenied",
                (
                    "MultiFactorAuthentication failed, must provide both MFA serial number"
                    " and one time pass code."
                ),
            )


def test_a_token_is_filled_up_to_the_size_that_was_asked_for(world: World) -> None:
    for size in (0, 700, 2001, 4000, 4096):
        answer = world.assume(MinimumSessionTokenSize=size)
        token = answer["Credentials"]["SessionToken"]
        assert size <= len(token) <= max(size + 8, 600)
        assert answer["SessionTokenSize"] == len(token)
        assert world.sts(answer).get_caller_identity()
    sts = world.sts()
    for answer in (
        sts.get_session_token(MinimumSessionTokenSize=1000),
        sts.get_federation_token(Name="guest", MinimumSessionTokenSize=1000),
        world.sts(world.assume()).get_scoped_credentials(
            DurationSeconds=60, MinimumSessionTokenSize=1000
        ),
    ):
        assert answer["SessionTokenSize"] >= 1000


def test_a_session_narrows_itself(world: World) -> None:
    wide = world.assume(SourceIdentity="carol")
    narrow = world.sts(wide).get_scoped_credentials(
        Policy=policy(["sts:GetScopedCredentials", "iam:ListUsers"]),
        ScopedSessionDescription="only a look",
    )
    who = world.sts(wide).get_caller_identity()
    assert narrow["SessionInfo"] == {
        "ScopedSessionId": who["UserId"],
        "Arn": who["Arn"],
    }
    assert narrow["ScopedPoliciesCount"] == 1
    assert narrow["SourceIdentity"] == "carol"
    assert narrow["Credentials"]["Expiration"] == wide["Credentials"]["Expiration"]
    iam = world.broker.client("iam", Key.of(narrow["Credentials"]))
    assert iam.list_users()["Users"]
    assert error_of(iam.list_roles)["Code"] == "AccessDenied"
    narrower = world.sts(narrow).get_scoped_credentials(
        Policy=policy("sts:GetScopedCredentials"), DurationSeconds=60
    )
    assert narrower["ScopedPoliciesCount"] == 2
    assert life_of(narrower) <= 60
    iam = world.broker.client("iam", Key.of(narrower["Credentials"]))
    assert error_of(iam.list_users)["Code"] == "AccessDenied"
    least = world.sts(narrower).get_scoped_credentials(Policy=EVERYTHING)
    assert least["ScopedPoliciesCount"] == 3
    assert life_of(least) <= 60
    fourth = error_of(world.sts(least).get_scoped_credentials, Policy=EVERYTHING)
    assert fourth["Code"] == "AccessDenied"
    assert world.sts(least).get_scoped_credentials(DurationSeconds=5)


def test_narrowing_has_rules(world: World) -> None:
    sts = world.sts(world.assume(DurationSeconds=900))
    assert error_of(sts.get_scoped_credentials)["Code"] == "ValidationError"
    assert (
        error_of(sts.get_scoped_credentials, DurationSeconds=1000)["Code"]
        == "InsufficientSessionLifetime"
    )
    assert (
        error_of(sts.get_scoped_credentials, Policy="{}")["Code"]
        == "MalformedPolicyDocument"
    )
    for key in (world.user, world.installation.root):
        error = error_of(world.sts(key).get_scoped_credentials, DurationSeconds=60)
        assert error["Code"] == "InvalidSubjectCredentials"


def test_narrowed_sessions_end_with_any_session_that_they_came_from(
    world: World,
) -> None:
    first = world.assume()
    second = world.sts(first).get_scoped_credentials(DurationSeconds=800)
    third = world.sts(second).get_scoped_credentials(DurationSeconds=700)
    world.broker.command("sessions", "revoke", first["Credentials"]["AccessKeyId"])
    time.sleep(1.1)
    for answer in (first, second, third):
        error = error_of(world.sts(answer).get_caller_identity)
        assert error["Code"] == "ExpiredToken"


@pytest.mark.parametrize("path", ["/", "/other/"])
def test_a_policy_of_a_session_is_not_another_of_its_name(
    world: World, path: str
) -> None:
    made = {
        "PolicyName": f"Narrow{len(path)}",
        "PolicyDocument": policy("iam:ListUsers"),
    }
    arn = world.iam.create_policy(**made)["Policy"]["Arn"]
    session = world.assume(PolicyArns=[{"arn": arn}])
    iam = world.broker.client("iam", Key.of(session["Credentials"]))
    assert iam.list_users()
    assert error_of(iam.list_roles)["Code"] == "AccessDenied"
    world.iam.delete_policy(PolicyArn=arn)
    wider = made | {"PolicyDocument": EVERYTHING, "Path": path}
    another = world.iam.create_policy(**wider)["Policy"]["Arn"]
    assert (another == arn) is (path == "/")
    for call in (iam.list_roles, iam.list_users):
        assert error_of(call)["Code"] == "AccessDenied"
    # What is asked for now is the new one.
    wide = world.assume(PolicyArns=[{"arn": another}])
    assert world.broker.client("iam", Key.of(wide["Credentials"])).list_roles()


def test_a_policy_of_a_session_may_be_changed(world: World) -> None:
    made = {"PolicyName": "Changing", "PolicyDocument": policy("iam:ListUsers")}
    arn = world.iam.create_policy(**made)["Policy"]["Arn"]
    session = world.assume(PolicyArns=[{"arn": arn}])
    iam = world.broker.client("iam", Key.of(session["Credentials"]))
    assert iam.list_users()
    world.iam.create_policy_version(
        PolicyArn=arn, PolicyDocument=policy("iam:ListRoles"), SetAsDefault=True
    )
    assert iam.list_roles()
    assert error_of(iam.list_users)["Code"] == "AccessDenied"


def test_a_user_session_is_narrowed_and_still_ends_with_its_key(world: World) -> None:
    key = world.make_user("narrower", EVERYTHING)
    session = world.sts(key).get_session_token()
    narrow = world.sts(session).get_scoped_credentials(DurationSeconds=600)
    assert world.sts(narrow).get_caller_identity()["Arn"].endswith(":user/narrower")
    world.iam.update_access_key(
        UserName="narrower", AccessKeyId=key.access_key_id, Status="Inactive"
    )
    error = error_of(world.sts(narrow).get_caller_identity)
    assert error["Code"] == "InvalidClientTokenId"


def test_a_trade_in_token_is_no_ones(world: World) -> None:
    error = error_of(world.sts().get_delegated_access_token, TradeInToken="abc")
    assert error["Code"] == "ExpiredTradeInTokenException"
    assert error["Status"] == 400


def test_a_denial_carries_a_message_that_the_account_opens(world: World) -> None:
    key = world.make_user("denied", policy("sts:AssumeRole", effect="Deny"))
    error = error_of(world.assume, key)
    decoded = json.loads(
        world.sts().decode_authorization_message(
            EncodedMessage=error["EncodedMessage"]
        )["DecodedMessage"]
    )
    assert decoded["allowed"] is False
    assert decoded["explicitDeny"] is True
    assert decoded["context"]["action"] == "sts:AssumeRole"
    assert decoded["context"]["resource"] == world.worker
    assert decoded["context"]["principal"]["arn"].endswith(":user/denied")
    [statement] = decoded["matchedStatements"]["items"]
    assert "Own" in statement["policy"]
    keys = {item["key"] for item in decoded["context"]["conditions"]["items"]}
    assert {"aws:sourceip", "sts:rolesessionname"} <= keys
    refused = error_of(
        world.sts(key).decode_authorization_message,
        EncodedMessage=error["EncodedMessage"],
    )
    assert refused["Code"] == "AccessDenied"


def test_messages_open_for_their_account_only_and_whole(world: World) -> None:
    other = world.broker.create_account("333333333333")
    error = error_of(world.sts(other).get_scoped_credentials, DurationSeconds=60)
    assert "EncodedMessage" not in error
    theirs = error_of(
        world.sts(other).assume_root,
        TargetPrincipal=ACCOUNT,
        TaskPolicyArn={"arn": f"{ROOT_TASKS}/IAMAuditRootUserCredentials"},
    )
    assert theirs["Code"] == "AccessDenied"
    sealed = error_of(world.assume, world.make_user("stranger", None))["EncodedMessage"]
    for key, message in (
        (other, sealed),
        (world.user, sealed[:-8]),
        (world.user, f"{sealed[:40]}\n{sealed[40:]}"),
        (world.user, "AAAA"),
        (world.user, "ümlaut"),
    ):
        refused = error_of(
            world.sts(key).decode_authorization_message, EncodedMessage=message
        )
        assert refused["Code"] == "InvalidAuthorizationMessageException"
        assert refused["Status"] == 400


def test_a_message_does_not_tell_whether_another_accounts_role_exists(
    world: World,
) -> None:
    other = world.broker.create_account("444444444444")
    iam = world.broker.client("iam", other)
    iam.create_user(UserName="spy")
    iam.put_user_policy(UserName="spy", PolicyName="All", PolicyDocument=EVERYTHING)
    spy = Key.of(iam.create_access_key(UserName="spy")["AccessKey"])
    told = []
    for role in (ADMIN, ADMIN.replace("Admin", "Nadim")):
        error = error_of(
            world.sts(spy).assume_role, RoleArn=role, RoleSessionName="work"
        )
        decoded = world.broker.client("sts", other).decode_authorization_message(
            EncodedMessage=error["EncodedMessage"]
        )["DecodedMessage"]
        content = json.loads(decoded)
        content["context"].pop("resource")
        for item in content["context"]["conditions"]["items"]:
            if item["key"] in {"aws:currenttime", "aws:epochtime"}:
                item["values"] = None
        told.append((len(error["EncodedMessage"]), content))
    assert told[0] == told[1]


def test_a_managing_account_does_a_root_task(world: World) -> None:
    member = world.broker.create_account(MEMBER)
    task = {"arn": f"{ROOT_TASKS}/IAMAuditRootUserCredentials"}
    params = {"TargetPrincipal": MEMBER, "TaskPolicyArn": task}
    refused = error_of(world.sts().assume_root, **params)
    assert refused["Message"] == (
        f"User: arn:aws:iam::{ACCOUNT}:user/alice is not authorized to perform:"
        f" sts:AssumeRoot on resource: arn:aws:iam::{MEMBER}:root"
    )
    world.broker.set_options(MEMBER, RootManagedBy=ACCOUNT)
    time.sleep(1.1)
    answer = world.sts().assume_root(**params)
    assert life_of(answer) <= 900
    who = world.sts(answer).get_caller_identity()
    assert who["Arn"] == f"arn:aws:iam::{MEMBER}:root"
    iam = world.broker.client("iam", Key.of(answer["Credentials"]))
    [listed] = iam.list_access_keys()["AccessKeyMetadata"]
    assert listed["AccessKeyId"] == member.access_key_id
    assert error_of(iam.list_roles)["Code"] == "AccessDenied"
    assert error_of(iam.create_access_key)["Code"] == "AccessDenied"
    by_arn = params | {"TargetPrincipal": f"arn:aws:iam::{MEMBER}:root"}
    assert life_of(world.sts().assume_root(**by_arn, DurationSeconds=60)) <= 60
    root = error_of(world.sts(world.installation.root).assume_root, **params)
    assert root["Code"] == "AccessDenied"
    may_not = world.make_user("operator", policy("iam:*"))
    assert error_of(world.sts(may_not).assume_root, **params)["Code"] == "AccessDenied"
    for bad in (
        {"TargetPrincipal": "arn:aws:iam::12:root"},
        {"TargetPrincipal": "twelve-chars"},
        {"TaskPolicyArn": {"arn": "arn:aws:iam::aws:policy/AdministratorAccess"}},
        {"DurationSeconds": 901},
    ):
        assert error_of(world.sts().assume_root, **(params | bad))["Code"] == (
            "ValidationError"
        )


def root_tasks(world: World, member: str) -> tuple[Any, Any, Any]:
    """IAM clients of sessions that audit, create and delete the root's credentials."""

    def client(name: str) -> Any:
        answer = world.sts().assume_root(
            TargetPrincipal=member, TaskPolicyArn={"arn": f"{ROOT_TASKS}/{name}"}
        )
        return world.broker.client("iam", Key.of(answer["Credentials"]))

    return (
        client("IAMAuditRootUserCredentials"),
        client("IAMCreateRootUserPassword"),
        client("IAMDeleteRootUserCredentials"),
    )


def test_root_tasks_reach_the_roots_password(world: World) -> None:
    member = world.broker.create_account(ROOTED)
    world.broker.set_options(ROOTED, RootManagedBy=ACCOUNT)
    time.sleep(1.1)

    audit, create, delete = root_tasks(world, ROOTED)
    for call in (
        audit.get_login_profile,
        create.get_login_profile,
        delete.delete_login_profile,
    ):
        error = error_of(call)
        assert (error["Code"], error["Message"]) == (
            "NoSuchEntity",
            f"Login Profile for User {ROOTED} cannot be found.",
        )
    assert error_of(create.create_login_profile)["Code"] == "UnsupportedOperation"
    params = error_of(create.create_login_profile, Password="Correct-horse-7")
    assert params["Code"] == "ValidationError"

    password = "an emergency password, long enough"
    command = ("account", "root-password", ROOTED)
    world.broker.command(*command, "--set", stdin=f"{password}\n")
    time.sleep(1.1)
    profile = audit.get_login_profile()["LoginProfile"]
    assert profile["UserName"] == ROOTED
    assert profile["CreateDate"].microsecond == 0
    assert error_of(create.create_login_profile)["Code"] == "EntityAlreadyExists"
    root = world.broker.client("iam", member)
    for call in (
        root.get_login_profile,
        root.create_login_profile,
        root.delete_login_profile,
    ):
        error = error_of(call)
        assert (error["Code"], error["Message"]) == (
            "ValidationError",
            "Must specify userName when calling as the root user.",
        )
    assert error_of(audit.delete_login_profile)["Code"] == "AccessDenied"
    request_id = delete.delete_login_profile()["ResponseMetadata"]["RequestId"]
    record = json.loads(
        world.broker.command("audit", "--request-id", request_id, "--json")
    )
    assert record["action"] == "iam:DeleteLoginProfile"
    assert record["resources"] == [f"arn:aws:iam::{ROOTED}:root"]
    assert "was not enabled" in world.broker.command(*command, "--off")


def test_root_tasks_reach_no_one_but_the_root(world: World) -> None:
    member = world.broker.create_account(TASKED)
    world.broker.set_options(TASKED, RootManagedBy=ACCOUNT)
    time.sleep(1.1)
    root = world.broker.client("iam", member)
    root.create_user(UserName="victim")
    key = root.create_access_key(UserName="victim")["AccessKey"]["AccessKeyId"]
    own = root.list_access_keys()["AccessKeyMetadata"][0]["AccessKeyId"]

    audit, create, delete = root_tasks(world, TASKED)
    for call, params in (
        (audit.get_user, {}),
        (audit.get_login_profile, {}),
        (audit.list_access_keys, {}),
        (audit.list_mfa_devices, {}),
        (audit.list_signing_certificates, {}),
        (create.get_login_profile, {}),
        (create.create_login_profile, {"Password": "Correct-horse-7"}),
        (delete.get_user, {}),
        (delete.list_access_keys, {}),
        (delete.delete_login_profile, {}),
        (delete.delete_access_key, {"AccessKeyId": key}),
        (delete.deactivate_mfa_device, {"SerialNumber": "GAHT12345678"}),
    ):
        error = error_of(call, UserName="victim", **params)
        assert error["Code"] == "AccessDenied", (call, error)
    assert error_of(audit.get_access_key_last_used, AccessKeyId=key)["Code"] == (
        "AccessDenied"
    )
    assert audit.get_account_summary()["SummaryMap"]["AccountAccessKeysPresent"] == 1
    assert audit.get_user()["User"]["Arn"] == f"arn:aws:iam::{TASKED}:root"
    assert audit.list_mfa_devices()["MFADevices"] == []
    assert audit.list_signing_certificates()["Certificates"] == []
    assert audit.get_access_key_last_used(AccessKeyId=own)
    delete.delete_access_key(AccessKeyId=own)
    assert audit.list_access_keys()["AccessKeyMetadata"] == []


def test_a_region_that_is_switched_off_makes_no_credentials(world: World) -> None:
    assert world.installation.web_identity()
    early = world.assume()
    world.broker.set_options(ACCOUNT, DisabledRegions=[REGION])
    try:
        time.sleep(1.1)
        sts = world.sts()
        for call, params in (
            (sts.get_session_token, {}),
            (sts.get_federation_token, {"Name": "guest"}),
            (world.assume, {}),
        ):
            error = error_of(call, **params)
            assert error["Code"] == "RegionDisabledException"
            assert error["Status"] == 403
        assert world.sts(early).get_caller_identity()
    finally:
        world.broker.set_options(ACCOUNT, DisabledRegions=[])
    time.sleep(1.1)
    assert world.assume()


def fetch(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        results: dict[str, Any] = json.load(answer)
        return results


def keys_of(issuer: str) -> dict[str, Any]:
    """What a stranger finds out about an issuer."""
    results = fetch(f"{issuer}/.well-known/openid-configuration")
    assert results["issuer"] == issuer
    return fetch(results["jwks_uri"])


@pytest.fixture(scope="module")
def issuer(world: World) -> str:
    """The account's issuer, switched on by way of every answer of the switch."""
    iam = world.iam
    off = error_of(iam.get_outbound_web_identity_federation_info)
    assert off["Code"] == "FeatureDisabled"
    assert off["Status"] == 404
    asked = {"Audience": ["a"], "SigningAlgorithm": "RS256"}
    disabled = error_of(world.sts().get_web_identity_token, **asked)
    assert disabled["Code"] == "OutboundWebIdentityFederationDisabledException"
    assert disabled["Message"] == "OutboundWebIdentityFederation is disabled."
    with pytest.raises(urllib.error.HTTPError, match="404"):
        keys_of(f"{world.broker.url}/issuer/{ACCOUNT}")
    made = iam.enable_outbound_web_identity_federation()["IssuerIdentifier"]
    assert error_of(iam.enable_outbound_web_identity_federation)["Code"] == (
        "FeatureEnabled"
    )
    iam.disable_outbound_web_identity_federation()
    assert error_of(iam.disable_outbound_web_identity_federation)["Status"] == 404
    assert keys_of(made)["keys"]
    again = iam.enable_outbound_web_identity_federation()["IssuerIdentifier"]
    info = iam.get_outbound_web_identity_federation_info()
    assert info["IssuerIdentifier"] == again == made
    assert info["JwtVendingEnabled"] is True
    return str(made)


@pytest.mark.parametrize("algorithm", ["RS256", "ES384"])
def test_strangers_verify_tokens_of_the_account(
    world: World, issuer: str, algorithm: str
) -> None:
    session = world.assume(
        Tags=[{"Key": "Team", "Value": "blue"}], SourceIdentity="carol"
    )
    answer = world.sts(session).get_web_identity_token(
        Audience=["https://service.example"],
        SigningAlgorithm=algorithm,
        SubjectMode="AWSIdentity",
        Tags=[{"Key": "aws:x", "Value": "y"}],
    )
    token = answer["WebIdentityToken"]
    jwks = keys_of(issuer)
    assert all("d" not in key for key in jwks["keys"])
    header = jwt.get_unverified_header(token)
    names = {"RS256": "RSA_0", "ES384": "EC384_0"}
    assert header == {"kid": names[algorithm], "typ": "JWT", "alg": algorithm}
    key = jwt.PyJWKSet.from_dict(jwks)[header["kid"]]
    claims = jwt.decode(
        token, key, [algorithm], audience="https://service.example", issuer=issuer
    )
    assert (
        claims
        == jose.decode(
            token, KeySet.import_key_set(jwks), algorithms=[algorithm]
        ).claims
    )
    about = claims["https://sts.amazonaws.com/"]
    assert claims == {
        "iss": issuer,
        "sub": world.worker,
        "aud": "https://service.example",
        "iat": claims["iat"],
        "exp": claims["iat"] + 300,
        "jti": claims["jti"],
        "broker_lineage": claims["broker_lineage"],
        "https://sts.amazonaws.com/": about,
    }
    assert int(answer["Expiration"].timestamp()) == claims["exp"]
    about.pop("original_session_exp")
    assert about == {
        "aws_account": ACCOUNT,
        "source_region": REGION,
        "principal_id": world.worker,
        "principal_tags": {"Team": "blue"},
        "request_tags": {"aws:x": "y"},
        "source_identity": "carol",
    }


def test_several_audiences_are_an_array(world: World, issuer: str) -> None:
    token = world.sts().get_web_identity_token(
        Audience=["a", "b", "a"], SigningAlgorithm="ES384", DurationSeconds=60
    )["WebIdentityToken"]
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["aud"] == ["a", "b", "a"]
    assert claims["iss"] == issuer
    assert claims["sub"] == f"arn:aws:iam::{ACCOUNT}:user/alice"
    assert claims["exp"] - claims["iat"] == 60


@pytest.mark.usefixtures("issuer")
def test_web_identity_tokens_have_rules(world: World) -> None:
    asked: dict[str, Any] = {"Audience": ["a"], "SigningAlgorithm": "RS256"}
    sts = world.sts()
    for bad, code in (
        ({"SigningAlgorithm": "RS384"}, "ValidationError"),
        ({"SigningAlgorithm": "rs256"}, "ValidationError"),
        ({"Audience": [str(n) for n in range(11)]}, "ValidationError"),
        ({"Audience": ["x" * 1001]}, "ValidationError"),
        ({"DurationSeconds": 3601}, "ValidationError"),
        ({"SubjectMode": "OriginIdentity"}, "ValidationError"),
        ({"Scope": "read"}, "ValidationError"),
        (
            {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]},
            "InvalidParameterValue",
        ),
        (
            {"Tags": [{"Key": f"k{n}", "Value": "v" * 256} for n in range(50)]},
            "JWTPayloadSizeExceededException",
        ),
    ):
        assert error_of(sts.get_web_identity_token, **(asked | bad))["Code"] == code
    short = world.sts(
        world.sts(world.assume()).get_scoped_credentials(DurationSeconds=100)
    )
    error = error_of(short.get_web_identity_token, **asked, DurationSeconds=200)
    assert error["Code"] == "SessionDurationEscalationException"
    assert error["Status"] == 403
    capped = short.get_web_identity_token(**asked)
    assert capped["Expiration"].timestamp() - time.time() <= 100
    plain = world.sts(world.make_user("plain", policy("sts:GetWebIdentityToken")))
    assert plain.get_web_identity_token(**asked)
    tagged = error_of(
        plain.get_web_identity_token, **asked, Tags=[{"Key": "a", "Value": "b"}]
    )
    assert "sts:TagGetWebIdentityToken" in tagged["Message"]


def test_new_keys_are_published_before_they_sign(world: World, issuer: str) -> None:
    world.broker.command("account", "rotate-issuer-keys", ACCOUNT)
    time.sleep(1.1)
    assert {key["kid"] for key in keys_of(issuer)["keys"]} == {
        *("RSA_0", "RSA_1", "EC384_0", "EC384_1")
    }
    token = world.sts().get_web_identity_token(
        Audience=["a"], SigningAlgorithm="RS256"
    )["WebIdentityToken"]
    assert jwt.get_unverified_header(token)["kid"] == "RSA_0"


def test_the_version_of_tokens_is_kept(world: World) -> None:
    world.iam.set_security_token_service_preferences(
        GlobalEndpointTokenVersion="v2Token"
    )


def test_what_a_chain_hands_on_needs_the_next_roles_leave(world: World) -> None:
    """Whoever passes on tags or a source identity sets them, asked for or not."""
    named = world.assume(SourceIdentity="carol")
    tagged = world.assume(
        Tags=[{"Key": "Team", "Value": "blue"}, {"Key": "Own", "Value": "x"}],
        TransitiveTagKeys=["Team"],
    )
    kept = world.assume(Tags=[{"Key": "Own", "Value": "x"}])
    role = f"arn:aws:iam::{ACCOUNT}:role/Plain"
    world.iam.create_role(
        RoleName="Plain",
        AssumeRolePolicyDocument=trust(
            ({"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "sts:AssumeRole", None)
        ),
    )
    for session, action in (
        (named, "sts:SetSourceIdentity"),
        (tagged, "sts:TagSession"),
    ):
        error = error_of(world.assume, session, RoleArn=role)
        assert error["Message"] == (
            f"User: arn:aws:sts::{ACCOUNT}:assumed-role/Worker/work is not authorized"
            f" to perform: {action} on resource: {role}"
        )
        assert world.assume(session)  # the worker's trust gives leave
    assert world.assume(kept, RoleArn=role)


def test_a_source_identity_has_up_to_256_characters(world: World) -> None:
    longest = "s" * 256
    assert world.assume(SourceIdentity=longest)["SourceIdentity"] == longest
    error = error_of(world.assume, SourceIdentity=f"{longest}s")
    assert error["Message"].endswith(
        "Member must have length less than or equal to 256"
    )
