"""Hardware tokens and the root's device, by the operator's command line."""

import base64
import json
from datetime import UTC, datetime

import pytest

from broker.cli.operator import with_services
from broker.errors import BrokerError, EntityAlreadyExists, InvalidInput
from broker.model.account import AccountId
from broker.model.credentials import Passkey
from broker.services import Services
from tests.support.totp import Device
from tests.unit.cli.conftest import ACCOUNT, CommandLine
from tests.unit.cli.test_keys import let_pass, reseal

SEED = bytes(range(20))
SERIAL = "GAHT12345678"


def import_one(cli: CommandLine) -> Device:
    cli("mfa", "import", ACCOUNT, "-", stdin=f"# ours\n{SERIAL},{SEED.hex()}\n")
    return Device(base64.b32encode(SEED).decode())


@pytest.mark.usefixtures("account")
def test_tokens_are_imported_listed_and_audited_without_seeds(
    cli: CommandLine,
) -> None:
    import_one(cli)
    base32 = base64.b32encode(SEED).decode().lower()
    file = cli.folder / "tokens.txt"
    file.write_text(f"GAHT00000002 {base32} 60\n\nGAHT00000003\t{base32}\n")
    printed = cli("mfa", "import", ACCOUNT, str(file), "--seeds", "base32")
    assert printed == "Imported: 2\n"
    serials = [line.split("\t") for line in cli("mfa", "list", ACCOUNT).splitlines()]
    assert serials == [
        ["GAHT00000002", "unassigned"],
        ["GAHT00000003", "unassigned"],
        [SERIAL, "unassigned"],
    ]
    records = cli.audit("broker:ImportMFADevices")
    assert {"SerialNumbers": [SERIAL]} in [r["parameters"] for r in records]
    assert SEED.hex() not in str(records)
    assert base32 not in str(records).lower()


@pytest.mark.usefixtures("account")
def test_a_known_serial_stops_the_whole_import(cli: CommandLine) -> None:
    import_one(cli)
    lines = f"GAHT99999999,{SEED.hex()}\n{SERIAL.lower()},{SEED.hex()}\n"
    with pytest.raises(EntityAlreadyExists):
        cli("mfa", "import", ACCOUNT, "-", stdin=lines)
    assert "GAHT99999999" not in cli("mfa", "list", ACCOUNT)


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
        cli("mfa", "import", ACCOUNT, "-", stdin=line)
    assert SEED[:15].hex() not in str(caught.value)
    assert cli("mfa", "list", ACCOUNT) == ""


@pytest.mark.usefixtures("account")
def test_a_missing_file_and_a_missing_account_are_told(cli: CommandLine) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        cli("mfa", "import", ACCOUNT, str(cli.folder / "none"))
    with pytest.raises(BrokerError):
        cli("mfa", "list", "999999999999")


@pytest.mark.usefixtures("account")
def test_the_root_gets_a_device_and_loses_it(cli: CommandLine) -> None:
    device = import_one(cli)
    cli("mfa", "enable-root", ACCOUNT, SERIAL, device.code(), device.code())
    assert cli("mfa", "list", ACCOUNT) == f"{SERIAL}\troot\n"
    cli("mfa", "deactivate", ACCOUNT, SERIAL)
    assert cli("mfa", "list", ACCOUNT) == f"{SERIAL}\tunassigned\n"
    assert cli.audit("broker:EnableRootMFA")
    assert cli.audit("broker:DeactivateMFADevice")


@pytest.mark.usefixtures("account")
def test_a_lost_passkey_is_taken_away(cli: CommandLine) -> None:
    serial = f"arn:aws:iam::{ACCOUNT}:u2f/root/safe-ABC"
    passkey = Passkey(
        account=AccountId(ACCOUNT),
        serial=serial,
        user_id=ACCOUNT,
        credential_id=b"id",
        public_key=b"key",
        enabled_at=datetime.now(UTC),
    )

    async def insert(services: Services) -> None:
        async with services.stores.directory.change(AccountId(ACCOUNT)) as change:
            await change.insert_passkey(passkey)

    with_services(insert)
    assert cli("mfa", "list", ACCOUNT) == f"{serial}\troot\n"
    cli("mfa", "deactivate", ACCOUNT, serial)
    assert cli("mfa", "list", ACCOUNT) == ""
    (record,) = cli.audit("broker:DeactivateMFADevice")
    assert serial in json.dumps(record)


@pytest.mark.usefixtures("account")
def test_seeds_are_sealed_again(cli: CommandLine) -> None:
    device = import_one(cli)
    cli("keys", "rotate", "--kind", "storage")
    let_pass(cli)
    # The root's access key and the seed.
    assert reseal().changed == 2
    cli("mfa", "enable-root", ACCOUNT, SERIAL, device.code(), device.code())
