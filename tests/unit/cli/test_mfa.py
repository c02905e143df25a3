"""Hardware tokens and the root's device, by the operator's command line."""

import base64

import pytest

from broker.cli.operator import with_services
from broker.compose.services import Services
from broker.errors import BrokerError, EntityAlreadyExists, InvalidInput
from broker.model.account import AccountId
from broker.stores.directory.kinds import MFA_DEVICE
from tests.support.totp import Device
from tests.unit.cli.conftest import ACCOUNT, CommandLine
from tests.unit.cli.test_keys import let_pass, reseal

SEED = bytes(range(20))
SERIAL = "GAHT12345678"


def import_one(cli: CommandLine) -> Device:
    cli(
        "mfa",
        "import",
        "--account",
        ACCOUNT,
        "-",
        stdin=f"# ours\n{SERIAL},{SEED.hex()}\n",
    )
    return Device(base64.b32encode(SEED).decode())


def devices() -> dict[str, str | None]:
    """The holders of the account's devices, by serial number."""

    async def read(services: Services) -> dict[str, str | None]:
        directory = services.stores.directory
        mfa_devices = await directory.all_of(MFA_DEVICE, AccountId(ACCOUNT))
        return {device.serial: device.user_id for device in mfa_devices}

    return with_services(read)


@pytest.mark.usefixtures("account")
def test_tokens_are_imported_listed_and_audited_without_seeds(cli: CommandLine) -> None:
    import_one(cli)
    base32 = base64.b32encode(SEED).decode().lower()
    file = cli.folder / "tokens.txt"
    file.write_text(f"GAHT00000002 {base32} 60\n\nGAHT00000003\t{base32}\n")
    printed = cli("mfa", "import", "--account", ACCOUNT, str(file), "--seeds", "base32")
    assert printed == "Imported: 2\n"
    assert devices() == {"GAHT00000002": None, "GAHT00000003": None, SERIAL: None}
    records = cli.audit("broker:ImportMFADevices")
    assert {"SerialNumbers": [SERIAL]} in [r["parameters"] for r in records]
    assert SEED.hex() not in str(records)
    assert base32 not in str(records).lower()


@pytest.mark.usefixtures("account")
def test_a_known_serial_stops_the_whole_import(cli: CommandLine) -> None:
    import_one(cli)
    lines = f"GAHT99999999,{SEED.hex()}\n{SERIAL.lower()},{SEED.hex()}\n"
    with pytest.raises(EntityAlreadyExists):
        cli("mfa", "import", "--account", ACCOUNT, "-", stdin=lines)
    assert devices() == {SERIAL: None}


@pytest.mark.parametrize(
    "line",
    [
        f"short,{SEED.hex()}",
        f"arn:aws:iam::{ACCOUNT}:mfa/x,{SEED.hex()}",
        SERIAL,
        f"{SERIAL},{SEED.hex()},30,1",
        f"{SERIAL},{SEED.hex()}z",
        f"{SERIAL},{SEED[:15].hex()}",
        f"{SERIAL},{SEED.hex()},9",
        f"{SERIAL},{SEED.hex()},301",
        f"{SERIAL},{SEED.hex()},{'3' * 5000}",
        f"{SERIAL},{SEED.hex()},\u0663\u0660",
        f"{SERIAL},{SEED.hex()}\n{SERIAL},{SEED.hex()}",
    ],
)
@pytest.mark.usefixtures("account")
def test_another_line_is_refused_without_showing_its_seed(
    cli: CommandLine, line: str
) -> None:
    with pytest.raises(InvalidInput, match="is not a token") as caught:
        cli("mfa", "import", "--account", ACCOUNT, "-", stdin=line)
    assert SEED[:15].hex() not in str(caught.value)
    assert devices() == {}


@pytest.mark.usefixtures("account")
def test_a_missing_file_and_a_missing_account_are_told(cli: CommandLine) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        cli("mfa", "import", "--account", ACCOUNT, str(cli.folder / "none"))
    with pytest.raises(BrokerError):
        cli(
            "mfa",
            "import",
            "--account",
            "999999999999",
            "-",
            stdin=f"{SERIAL},{SEED.hex()}",
        )


@pytest.mark.usefixtures("account")
def test_the_root_gets_a_device(cli: CommandLine) -> None:
    device = import_one(cli)
    cli(
        "mfa", "enable-root", "--account", ACCOUNT, SERIAL, device.code(), device.code()
    )
    assert devices() == {SERIAL: ACCOUNT}
    assert cli.audit("broker:EnableRootMFA")


@pytest.mark.usefixtures("account")
def test_seeds_are_sealed_again(cli: CommandLine) -> None:
    device = import_one(cli)
    cli("keys", "rotate", "--kind", "storage")
    let_pass(cli)
    # The root's access key and the seed.
    assert reseal().changed == 2
    cli(
        "mfa", "enable-root", "--account", ACCOUNT, SERIAL, device.code(), device.code()
    )
