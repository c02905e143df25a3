"""MFA with virtual devices, hardware tokens and policies that ask for it."""

import base64
import json
import re
from contextlib import closing
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from tests.support.broker import ACCOUNT, Key, RunningBroker
from tests.support.refusals import refused
from tests.support.totp import Device

USER_ARN = f"arn:aws:iam::{ACCOUNT}:user/"
ONLY_WITH_MFA = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["iam:ListUsers", "sts:AssumeRole"],
                "Resource": "*",
                "Condition": {
                    "Bool": {"aws:MultiFactorAuthPresent": "true"},
                    "NumericLessThan": {"aws:MultiFactorAuthAge": "3600"},
                },
            }
        ],
    }
)


@pytest.fixture(scope="module")
def iam(broker: RunningBroker) -> Any:
    return broker.client("iam", broker.create_account(alias="example"))


def make_device(iam: Any, name: str) -> tuple[str, Device]:
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName=name)
    view = made["VirtualMFADevice"]
    return view["SerialNumber"], Device(view["Base32StringSeed"].decode())


def make_user(iam: Any, name: str, devices: int = 1) -> list[tuple[str, Device]]:
    iam.create_user(UserName=name)
    made = [make_device(iam, f"{name}-{number}") for number in range(devices)]
    for serial, device in made:
        iam.enable_mfa_device(UserName=name, SerialNumber=serial, **device.pair())
    return made


def test_a_policy_that_asks_for_mfa_admits_only_who_showed_a_code(
    broker: RunningBroker, iam: Any
) -> None:
    (serial, device), (second, other) = make_user(iam, "ann", devices=2)
    key = Key.of(iam.create_access_key(UserName="ann")["AccessKey"])
    iam.put_user_policy(UserName="ann", PolicyName="mfa", PolicyDocument=ONLY_WITH_MFA)
    sts = broker.client("sts", key)
    assert refused(broker.client("iam", key).list_users).code == "AccessDenied"
    plain = Key.of(sts.get_session_token()["Credentials"])
    assert refused(broker.client("iam", plain).list_users).code == (
        "InvalidClientTokenId"
    )
    code = device.code()
    token = sts.get_session_token(SerialNumber=serial, TokenCode=code)
    session = Key.of(token["Credentials"])
    assert broker.client("iam", session).list_users()["Users"]
    # The same code never counts again, whatever it is for.
    assert refused(sts.get_session_token, SerialNumber=serial, TokenCode=code)[1:] == (
        "AccessDenied",
        "MultiFactorAuthentication failed with invalid MFA one time pass code. ",
    )
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"{USER_ARN}ann"},
                "Action": "sts:AssumeRole",
                "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
            }
        ],
    }
    role = iam.create_role(
        RoleName="Guarded", AssumeRolePolicyDocument=json.dumps(trust)
    )["Role"]["Arn"]
    wanted = {"RoleArn": role, "RoleSessionName": "ann"}
    assert refused(sts.assume_role, **wanted).code == "AccessDenied"
    assert sts.assume_role(**wanted, SerialNumber=second, TokenCode=other.code())
    # A session that has shown the factor carries it on.
    assert broker.client("sts", session).assume_role(**wanted)


def test_a_code_that_is_sent_again_is_refused_but_is_no_guess(
    broker: RunningBroker, iam: Any
) -> None:
    """Two programs that ask for a session at the same time send the same code."""
    ((serial, device),) = make_user(iam, "twice")
    key = Key.of(iam.create_access_key(UserName="twice")["AccessKey"])
    sts, params = broker.client("sts", key), {"SerialNumber": serial}
    code = device.code()
    assert sts.get_session_token(**params, TokenCode=code)
    for _ in range(12):  # more than lock the device, or are let through
        again = refused(sts.get_session_token, **params, TokenCode=code)
        assert again.code == "AccessDenied"
    assert sts.get_session_token(**params, TokenCode=device.code())


def test_no_one_elses_device_proves_anything(broker: RunningBroker, iam: Any) -> None:
    ((serial, device),) = make_user(iam, "owner")
    iam.create_user(UserName="thief")
    key = Key.of(iam.create_access_key(UserName="thief")["AccessKey"])
    assert refused(
        broker.client("sts", key).get_session_token,
        SerialNumber=serial,
        TokenCode=device.code(),
    )[1:] == (
        "AccessDenied",
        "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.",
    )


def test_a_device_is_made_enabled_listed_tagged_and_deleted(iam: Any) -> None:
    iam.create_user(UserName="bob", Path="/team/")
    made = iam.create_virtual_mfa_device(
        Path="/team/",
        VirtualMFADeviceName="bob+phone",
        Tags=[{"Key": "kind", "Value": "phone"}],
    )["VirtualMFADevice"]
    serial = made["SerialNumber"]
    assert serial == f"arn:aws:iam::{ACCOUNT}:mfa/team/bob+phone"
    assert len(made["Base32StringSeed"]) == 64
    assert made["QRCodePNG"].startswith(b"\x89PNG\r\n")
    assert made["Tags"] == [{"Key": "kind", "Value": "phone"}]
    assert refused(
        iam.create_virtual_mfa_device, Path="/team/", VirtualMFADeviceName="BOB+phone"
    )[1:] == ("EntityAlreadyExists", "MFA device already exists.")
    unassigned = iam.list_virtual_mfa_devices(AssignmentStatus="Unassigned")
    assert {"SerialNumber": serial} in unassigned["VirtualMFADevices"]
    device = Device(made["Base32StringSeed"].decode())
    pair = device.pair()
    swapped = {
        "AuthenticationCode1": pair["AuthenticationCode2"],
        "AuthenticationCode2": pair["AuthenticationCode1"],
    }
    params = {"UserName": "bob", "SerialNumber": serial}
    assert refused(iam.enable_mfa_device, **params, **swapped)[1:] == (
        "InvalidAuthenticationCode",
        "Authentication code for device is not valid.",
    )
    iam.enable_mfa_device(**params, **pair)
    assert refused(iam.enable_mfa_device, **params, **device.pair()).code == (
        "EntityAlreadyExists"
    )
    (listed,) = iam.list_mfa_devices(UserName="bob")["MFADevices"]
    assert listed["SerialNumber"] == serial
    got = iam.get_mfa_device(SerialNumber=serial)
    assert (got["UserName"], got["EnableDate"]) == ("bob", listed["EnableDate"])
    pages = iam.get_paginator("list_virtual_mfa_devices").paginate(
        AssignmentStatus="Assigned"
    )
    users = [d["User"]["UserName"] for p in pages for d in p["VirtualMFADevices"]]
    assert "bob" in users
    iam.tag_mfa_device(SerialNumber=serial, Tags=[{"Key": "x", "Value": "y"}])
    iam.untag_mfa_device(SerialNumber=serial, TagKeys=["kind"])
    assert iam.list_mfa_device_tags(SerialNumber=serial)["Tags"] == [
        {"Key": "x", "Value": "y"}
    ]
    assert refused(iam.delete_user, UserName="bob")[1:] == (
        "DeleteConflict",
        "Cannot delete entity, must delete MFA device first.",
    )
    assert refused(iam.delete_virtual_mfa_device, SerialNumber=serial)[1:] == (
        "DeleteConflict",
        "MFA VirtualDevice in use. Must deactivate first.",
    )
    iam.deactivate_mfa_device(**params)
    assert refused(iam.deactivate_mfa_device, **params)[1:] == (
        "NoSuchEntity",
        "MFA Device invalid for user.",
    )
    # Spent codes stay spent for whoever has the device next.
    assert refused(iam.enable_mfa_device, **params, **pair).code == (
        "InvalidAuthenticationCode"
    )
    iam.delete_virtual_mfa_device(SerialNumber=serial)
    assert refused(iam.get_mfa_device, SerialNumber=serial)[1:] == (
        "NoSuchEntity",
        f"MFA Device with serial number {serial} does not exist.",
    )
    iam.delete_user(UserName="bob")


def test_a_locked_device_is_opened_by_two_consecutive_codes(
    broker: RunningBroker, iam: Any
) -> None:
    ((serial, device),) = make_user(iam, "clumsy")
    key = Key.of(iam.create_access_key(UserName="clumsy")["AccessKey"])
    sts = broker.client("sts", key)
    params = {"SerialNumber": serial}
    for _ in range(5):
        assert refused(sts.get_session_token, **params, TokenCode="000000")
    assert refused(sts.get_session_token, **params, TokenCode=device.code()).code == (
        "AccessDenied"
    )
    ahead = device.pair()
    iam.resync_mfa_device(UserName="clumsy", **params, **ahead)
    assert sts.get_session_token(**params, TokenCode=device.code())


def test_who_may_do_what_with_devices_is_the_policies_business(
    broker: RunningBroker, iam: Any
) -> None:
    iam.create_user(UserName="self")
    iam.create_user(UserName="else")
    key = Key.of(iam.create_access_key(UserName="self")["AccessKey"])
    own = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["iam:CreateVirtualMFADevice"],
                "Resource": f"arn:aws:iam::{ACCOUNT}:mfa/*",
            },
            {
                "Effect": "Allow",
                "Action": ["iam:EnableMFADevice", "iam:ListMFADevices"],
                "Resource": f"{USER_ARN}${{aws:username}}",
            },
        ],
    }
    iam.put_user_policy(
        UserName="self", PolicyName="own", PolicyDocument=json.dumps(own)
    )
    mine = broker.client("iam", key)
    serial, device = make_device(mine, "self")
    assert refused(
        mine.enable_mfa_device, UserName="else", SerialNumber=serial, **device.pair()
    ).code == ("AccessDenied")
    mine.enable_mfa_device(UserName="self", SerialNumber=serial, **device.pair())
    assert mine.list_mfa_devices()["MFADevices"][0]["SerialNumber"] == serial
    assert refused(mine.list_mfa_devices, UserName="else").code == "AccessDenied"
    assert refused(mine.delete_virtual_mfa_device, SerialNumber=serial).code == (
        "AccessDenied"
    )


def test_the_qr_code_holds_the_seed(iam: Any) -> None:
    made = iam.create_virtual_mfa_device(VirtualMFADeviceName="q@r")
    view = made["VirtualMFADevice"]
    import segno

    seed = view["Base32StringSeed"].decode()
    label = quote("q@r@example", safe="@")
    expected = segno.make_qr(f"otpauth://totp/{label}?secret={seed}", error="m")
    import io

    image = io.BytesIO()
    expected.save(image, kind="png", scale=4)
    assert view["QRCodePNG"] == image.getvalue()


def test_a_hardware_token_is_imported_by_the_operator_and_enabled_by_its_user(
    broker: RunningBroker, iam: Any
) -> None:
    seed, serial = bytes(range(32)), "GAHT87654321"
    (broker.folder / "tokens").write_text(f"{serial},{seed.hex()}\n")
    broker.command("mfa", "import", "--account", ACCOUNT, str(broker.folder / "tokens"))
    device = Device(base64.b32encode(seed).decode())
    iam.create_user(UserName="token")
    iam.enable_mfa_device(UserName="token", SerialNumber=serial, **device.pair())
    key = Key.of(iam.create_access_key(UserName="token")["AccessKey"])
    sts = broker.client("sts", key)
    assert sts.get_session_token(SerialNumber=serial, TokenCode=device.code())
    listed = iam.list_virtual_mfa_devices()["VirtualMFADevices"]
    assert serial not in [device["SerialNumber"] for device in listed]
    iam.deactivate_mfa_device(UserName="token", SerialNumber=serial)
    assert refused(iam.delete_virtual_mfa_device, SerialNumber=serial).code == (
        "NoSuchEntity"
    )


def test_the_root_shows_a_code_of_its_own_device(broker: RunningBroker) -> None:
    account = "210987654321"
    key = broker.create_account(account)
    serial, device = make_device(broker.client("iam", key), "root-account-mfa-device")
    broker.command(
        "mfa", "enable-root", "--account", account, serial, *device.pair().values()
    )
    alone = broker.client("iam", key)
    assert refused(alone.deactivate_mfa_device, SerialNumber=serial).code == (
        "AccessDenied"
    )
    sts = broker.client("sts", key)
    token = sts.get_session_token(SerialNumber=serial, TokenCode=device.code())
    session = broker.client("iam", Key.of(token["Credentials"]))
    (listed,) = session.list_mfa_devices()["MFADevices"]
    assert listed["SerialNumber"] == serial
    assert session.get_mfa_device(SerialNumber=serial)["EnableDate"]
    session.deactivate_mfa_device(SerialNumber=serial)
    assert session.list_mfa_devices()["MFADevices"] == []


def test_the_aws_cli_walks_through_enabling_a_device(
    broker: RunningBroker, iam: Any
) -> None:
    iam.create_user(UserName="cli")
    made = iam.create_access_key(UserName="cli")["AccessKey"]
    allowed = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "iam:*MFA*", "Resource": "*"}],
        }
    )
    iam.put_user_policy(UserName="cli", PolicyName="mfa", PolicyDocument=allowed)
    environment = {
        "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
    }
    file = broker.folder / "seed"
    answer = broker.aws(
        *("iam", "create-virtual-mfa-device", "--virtual-mfa-device-name", "cli"),
        *("--outfile", str(file), "--bootstrap-method", "Base32StringSeed"),
        **environment,
    )
    serial = answer["VirtualMFADevice"]["SerialNumber"]
    device = Device(file.read_text())
    first, second = device.pair().values()
    broker.aws(
        *("iam", "enable-mfa-device", "--user-name", "cli"),
        *("--serial-number", serial),
        *("--authentication-code1", first, "--authentication-code2", second),
        **environment,
    )
    listed = broker.aws("iam", "list-mfa-devices", **environment)
    assert [d["SerialNumber"] for d in listed["MFADevices"]] == [serial]
    view = broker.aws(
        *("sts", "get-session-token", "--serial-number", serial),
        *("--token-code", device.code()),
        **environment,
    )
    assert view["Credentials"]["SessionToken"]


EVERYTHING = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    }
)


def sign_in(broker: RunningBroker, credentials: dict[str, Any]) -> httpx2.Client:
    """A browser at the console with temporary credentials."""
    session = {
        "sessionId": credentials["AccessKeyId"],
        "sessionKey": credentials["SecretAccessKey"],
        "sessionToken": credentials["SessionToken"],
    }
    browser = httpx2.Client(base_url=broker.url, follow_redirects=True)
    made = browser.get(
        "/federation",
        params={"Action": "getSigninToken", "Session": json.dumps(session)},
    )
    browser.get(
        "/federation",
        params={
            "Action": "login",
            "Destination": f"{broker.url}/console/",
            "SigninToken": made.json()["SigninToken"],
        },
    )
    return browser


def remove_at_console(browser: httpx2.Client, name: str, serial: str) -> str:
    home = browser.get("/console/")
    csrf = re.search(r'name="csrf" value="([^"]+)"', home.text)
    assert csrf, home.text
    form = {"csrf": csrf[1], "name": name, "do": "remove-device", "device": serial}
    origin = str(browser.base_url).rstrip("/")
    page = browser.post(
        "/console/users/credentials", data=form, headers={"origin": origin}
    )
    return page.text


def test_no_factor_is_removed_without_a_factor_by_any_way_from_the_users_key(
    broker: RunningBroker, iam: Any
) -> None:
    (serial, device), (other, _) = make_user(iam, "carol", devices=2)
    key = Key.of(iam.create_access_key(UserName="carol")["AccessKey"])
    iam.put_user_policy(UserName="carol", PolicyName="all", PolicyDocument=EVERYTHING)
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"},
            "Action": "sts:AssumeRole",
        },
    }
    iam.create_role(RoleName="Full", AssumeRolePolicyDocument=json.dumps(trust))
    iam.put_role_policy(RoleName="Full", PolicyName="all", PolicyDocument=EVERYTHING)
    sts = broker.client("sts", key)
    role = {"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/Full", "RoleSessionName": "carol"}
    taking = {"UserName": "carol", "SerialNumber": other}

    def took(credentials: dict[str, Any]) -> str:
        by = broker.client("iam", Key.of(credentials))
        return refused(by.deactivate_mfa_device, **taking).message

    lent = sts.get_federation_token(Name="carol", Policy=EVERYTHING)["Credentials"]
    with closing(sign_in(broker, lent)) as browser:
        page = remove_at_console(browser, "carol", other)
    assert "authenticated with an MFA device" in page
    assumed = sts.assume_role(**role)["Credentials"]
    assert "authenticated with an MFA device" in took(assumed)
    narrowed = broker.client("sts", Key.of(assumed)).get_scoped_credentials(
        DurationSeconds=900
    )
    assert "authenticated with an MFA device" in took(narrowed["Credentials"])
    with closing(sign_in(broker, assumed)) as browser:
        page = remove_at_console(browser, "carol", other)
    assert "authenticated with an MFA device" in page
    listed = iam.list_mfa_devices(UserName="carol")["MFADevices"]
    assert {entry["SerialNumber"] for entry in listed} == {serial, other}

    view = sts.assume_role(**role, SerialNumber=serial, TokenCode=device.code())
    by = broker.client("iam", Key.of(view["Credentials"]))
    by.deactivate_mfa_device(**taking)
    # Somebody else with the permission needs no factor of hers.
    iam.deactivate_mfa_device(UserName="carol", SerialNumber=serial)
