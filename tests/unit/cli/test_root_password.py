"""The root's sign-in, switched on and off by the operator."""

import base64

import pytest

from broker.errors import BrokerError, PasswordPolicyViolation
from tests.support.totp import Device
from tests.unit.cli.conftest import ACCOUNT, CommandLine

PASSWORD = "an emergency password, long enough"
SEED = bytes(range(20))
SERIAL = "GAHT12345678"
pytestmark = pytest.mark.usefixtures("account")


def set_it(cli: CommandLine, password: str = PASSWORD) -> str:
    return cli("account", "root-password", ACCOUNT, "--set", stdin=f"{password}\n")


def doctor(cli: CommandLine) -> str:
    return cli("doctor", "--json")


def test_it_is_switched_on_and_off_and_doctor_tells(cli: CommandLine) -> None:
    told = f'"root user of {ACCOUNT}", "text": "may sign in with a password"'
    assert told not in doctor(cli)
    assert "requires an MFA device" in set_it(cli)
    assert told in doctor(cli)
    printed = cli("account", "root-password", ACCOUNT, "--off")
    assert "can no longer sign in" in printed
    assert told not in doctor(cli)
    assert "was not enabled" in cli("account", "root-password", ACCOUNT, "--off")
    (on,) = cli.audit("broker:SwitchRootSignInOn")
    assert on["parameters"] == {"MFADevices": 0}
    assert len(cli.audit("broker:SwitchRootSignInOff")) == 2


def test_with_a_device_the_address_is_told_and_the_password_nowhere(
    cli: CommandLine,
) -> None:
    cli("mfa", "import", "--account", ACCOUNT, "-", stdin=f"{SERIAL},{SEED.hex()}\n")
    device = Device(base64.b32encode(SEED).decode())
    cli(
        "mfa", "enable-root", "--account", ACCOUNT, SERIAL, device.code(), device.code()
    )
    printed = set_it(cli)
    assert f"/signin/{ACCOUNT}?kind=root" in printed
    assert PASSWORD not in printed + cli.stderr + cli("audit", "--json")
    assert PASSWORD.encode() not in (cli.folder / "data" / "broker.db").read_bytes()
    set_it(cli, "another emergency password")


@pytest.mark.parametrize("password", ["", "too short", "x" * 129])
def test_a_short_or_long_password_is_refused(cli: CommandLine, password: str) -> None:
    with pytest.raises(PasswordPolicyViolation, match="16 to 128"):
        set_it(cli, password)
    assert not cli.audit("broker:SwitchRootSignInOn")


@pytest.mark.parametrize("options", [[], ["--set", "--off"]])
def test_one_of_the_two_options_is_wanted(cli: CommandLine, options: list[str]) -> None:
    cli("account", "root-password", ACCOUNT, *options, fails=True)


@pytest.mark.parametrize("option", ["--set", "--off"])
def test_there_must_be_such_an_account(cli: CommandLine, option: str) -> None:
    with pytest.raises(BrokerError):
        cli("account", "root-password", "0" * 12, option, stdin=f"{PASSWORD}\n")
