"""What the directory's port promises of credentials and roles for machines."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.model.account import Account, AccountId
from broker.model.credentials import (
    CredentialKind,
    CredentialStatus,
    MfaDevice,
    MfaState,
    Passkey,
    ServerCertificate,
    UserCredential,
)
from broker.model.machines import DeletionTask, InstanceProfile
from broker.model.page import PageRequest
from broker.stores.directory import kinds
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.credentials import (
    list_credentials_of,
    list_virtual_mfa_devices,
)
from broker.stores.directory.kinds import (
    DELETION_TASK,
    INSTANCE_PROFILE,
    MFA_DEVICE,
    PASSKEY,
    SERVER_CERTIFICATE,
    USER_CREDENTIAL,
)
from broker.stores.directory.machines import list_profiles_of_roles
from broker.stores.directory.sql import SqlDirectory
from broker.stores.errors import AlreadyExistsError

ACCOUNT = AccountId("000000000001")
AT = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)
ALL = PageRequest(None, 100)


def device(name: str, **more: object) -> MfaDevice:
    given: dict[str, object] = {
        "account": ACCOUNT,
        "serial": f"arn:aws:iam::{ACCOUNT}:mfa/{name}",
        "virtual": True,
        "sealed_seed": b"sealed",
        "created_at": AT,
        **more,
    }
    return MfaDevice(**given)  # type: ignore[arg-type]  # fields by name


def credential(number: int, kind: CredentialKind, user: str) -> UserCredential:
    return UserCredential(
        account=ACCOUNT,
        credential_id=f"APKA{number}",
        kind=kind,
        user_id=user,
        status=CredentialStatus.ACTIVE,
        created_at=AT + timedelta(seconds=number),
        fingerprint="f",
        body="b",
        sealed=b"s",
        expires_at=AT,
        details={"service": "x"},
    )


async def make_account(directory: SqlDirectory) -> None:
    async with directory.change(ACCOUNT) as change:
        await insert_account(change, OWNER)


OWNER = Account(account_id=ACCOUNT, alias=None, session_salt=bytes(32), created_at=AT)


async def test_a_device_is_kept_whole_and_found_by_its_serial(
    directory: SqlDirectory,
) -> None:
    await make_account(directory)
    made = device("ann", tags={"k": "v"})
    token = device("", serial="GAHT12345678", virtual=False, period_seconds=60)
    async with directory.change(ACCOUNT) as change:
        await change.insert(MFA_DEVICE, made)
        await change.insert(MFA_DEVICE, token)
        with pytest.raises(AlreadyExistsError):
            await change.insert(MFA_DEVICE, device("ANN"))
    assert await directory.named(MFA_DEVICE, ACCOUNT, made.serial.upper()) == made
    assert await directory.named(MFA_DEVICE, ACCOUNT, token.serial) == token
    assert await directory.count(MFA_DEVICE, ACCOUNT) == 2
    page = await list_virtual_mfa_devices(directory, ACCOUNT, ALL, assigned=False)
    assert page.items == (made,)
    used = replace(made, user_id="AIDA1", enabled_at=AT)
    async with directory.change(ACCOUNT) as change:
        await change.update(MFA_DEVICE, used)
    assert await directory.all_of(MFA_DEVICE, ACCOUNT, user_id="AIDA1") == (used,)
    assert await directory.all_of(MFA_DEVICE, ACCOUNT) == (used, token)
    page = await list_virtual_mfa_devices(directory, ACCOUNT, ALL, assigned=True)
    assert page.items == (used,)
    async with directory.change(ACCOUNT) as change:
        await change.remove(MFA_DEVICE, used)
    assert await directory.named(MFA_DEVICE, ACCOUNT, made.serial) is None


async def test_a_state_is_replaced_once_and_leaves_the_generation(
    directory: SqlDirectory, other_directory: SqlDirectory
) -> None:
    await make_account(directory)
    made = device("ann", user_id="AIDA1")
    async with directory.change(ACCOUNT) as change:
        await change.insert(MFA_DEVICE, made)
    before = await directory.generations([ACCOUNT])
    new = MfaState(last_step=7, drift=-1, failures=2, locked_until=AT)
    assert await directory.replace_mfa_state(made, new)
    assert not await other_directory.replace_mfa_state(made, new)
    found = await other_directory.named(MFA_DEVICE, ACCOUNT, made.serial)
    assert found == replace(made, state=new)
    stranger = replace(found, user_id="AIDA2")
    assert not await other_directory.replace_mfa_state(stranger, MfaState())
    assert await directory.generations([ACCOUNT]) == before


async def test_credentials_are_listed_by_kind_and_user_in_order_of_age(
    directory: SqlDirectory,
) -> None:
    await make_account(directory)
    keys = [
        credential(number, CredentialKind.SSH_PUBLIC_KEY, user)
        for number, user in enumerate(("AIDA1", "AIDA2", "AIDA1"))
    ]
    other = credential(9, CredentialKind.SERVICE_SPECIFIC, "AIDA1")
    async with directory.change(ACCOUNT) as change:
        for made in reversed((*keys, other)):
            await change.insert(USER_CREDENTIAL, made)
    kind = CredentialKind.SSH_PUBLIC_KEY
    assert await directory.all_of(USER_CREDENTIAL, ACCOUNT, kind=kind) == tuple(keys)
    found = await directory.all_of(USER_CREDENTIAL, ACCOUNT, kind=kind, user_id="AIDA1")
    several = await list_credentials_of(directory, ACCOUNT, ["AIDA1"])
    assert sorted(one.credential_id for one in several) == sorted(
        one.credential_id for one in (*found, other)
    )
    assert await list_credentials_of(directory, ACCOUNT, ["AIDAX"]) == ()
    assert found == (keys[0], keys[2])
    changed = replace(keys[0], status=CredentialStatus.INACTIVE, expires_at=None)
    async with directory.change(ACCOUNT) as change:
        await change.update(USER_CREDENTIAL, changed)
        await change.remove(USER_CREDENTIAL, keys[2])
    assert await directory.all_of(
        USER_CREDENTIAL, ACCOUNT, kind=kind, user_id="AIDA1"
    ) == (changed,)
    assert await directory.find(USER_CREDENTIAL, ACCOUNT, keys[2].credential_id) is None


async def test_server_certificates_have_names_and_paths(
    directory: SqlDirectory,
) -> None:
    await make_account(directory)
    made = ServerCertificate(
        account=ACCOUNT,
        certificate_id="ASCA1",
        name="Web",
        path="/a/",
        body="b",
        chain=None,
        sealed_key=b"k",
        uploaded_at=AT,
        expires_at=AT,
        tags={"k": "v"},
    )
    second = replace(made, certificate_id="ASCA2", name="api", path="/", chain="c")
    async with directory.change(ACCOUNT) as change:
        await change.insert(SERVER_CERTIFICATE, made)
        await change.insert(SERVER_CERTIFICATE, second)
        with pytest.raises(AlreadyExistsError):
            await change.update(SERVER_CERTIFICATE, replace(second, name="WEB"))
    assert await directory.named(SERVER_CERTIFICATE, ACCOUNT, "wEB") == made
    page = await directory.page_of(SERVER_CERTIFICATE, ACCOUNT, ALL)
    assert page.items == (second, made)
    page = await directory.page_of(SERVER_CERTIFICATE, ACCOUNT, ALL, under="/a/")
    assert page.items == (made,)
    async with directory.change(ACCOUNT) as change:
        await change.remove(SERVER_CERTIFICATE, made)
    assert await directory.count(SERVER_CERTIFICATE, ACCOUNT) == 1


async def test_instance_profiles_are_listed_by_path_and_by_role(
    directory: SqlDirectory,
) -> None:
    await make_account(directory)
    made = InstanceProfile(
        account=ACCOUNT, profile_id="AIPA1", name="Web", path="/a/", created_at=AT
    )
    second = replace(made, profile_id="AIPA2", name="db", path="/", role_id="AROA1")
    async with directory.change(ACCOUNT) as change:
        await change.insert(INSTANCE_PROFILE, made)
        await change.insert(INSTANCE_PROFILE, second)
        with pytest.raises(AlreadyExistsError):
            await change.insert(INSTANCE_PROFILE, replace(made, profile_id="AIPA3"))
        tagged = replace(made, tags={"k": "v"})
        await change.update(INSTANCE_PROFILE, tagged)
    assert await directory.named(INSTANCE_PROFILE, ACCOUNT, "web") == tagged
    page = await directory.page_of(INSTANCE_PROFILE, ACCOUNT, ALL, under="/")
    assert page.items == (second, tagged)
    page = await directory.page_of(INSTANCE_PROFILE, ACCOUNT, ALL, role_id="AROA1")
    assert page.items == (second,)
    held = await list_profiles_of_roles(directory, ACCOUNT, ["AROA1", "AROA2"])
    assert held == {"AROA1": (second,)}
    async with directory.change(ACCOUNT) as change:
        await change.remove(INSTANCE_PROFILE, second)
        await change.insert(
            DELETION_TASK,
            DeletionTask(
                account=ACCOUNT, task_id="task/1", status="SUCCEEDED", made_at=AT
            ),
        )
    assert await directory.count(INSTANCE_PROFILE, ACCOUNT) == 1
    task = await directory.find(DELETION_TASK, ACCOUNT, "task/1")
    assert task is not None
    assert task.made_at == AT


async def test_an_accounts_credentials_go_with_it(directory: SqlDirectory) -> None:
    await make_account(directory)
    async with directory.change(ACCOUNT) as change:
        await change.insert(MFA_DEVICE, device("ann"))
        await change.insert(
            USER_CREDENTIAL, credential(1, CredentialKind.SIGNING_CERTIFICATE, ACCOUNT)
        )
    async with directory.change(ACCOUNT) as change:
        await change.remove(kinds.ACCOUNT, OWNER)
    assert await directory.all_of(MFA_DEVICE, ACCOUNT) == ()
    kind = CredentialKind.SIGNING_CERTIFICATE
    assert await directory.all_of(USER_CREDENTIAL, ACCOUNT, kind=kind) == ()


def passkey(name: str, number: int = 1, **more: object) -> Passkey:
    given: dict[str, object] = {
        "account": ACCOUNT,
        "serial": f"arn:aws:iam::{ACCOUNT}:u2f/user/{name}",
        "user_id": "AIDA1",
        "credential_id": bytes([number]) * 32,
        "public_key": b"cose",
        "enabled_at": AT,
        **more,
    }
    return Passkey(**given)  # type: ignore[arg-type]  # fields by name


async def test_a_passkey_is_kept_whole_and_each_credential_once(
    directory: SqlDirectory,
) -> None:
    await make_account(directory)
    made = passkey(
        "ann/key-A",
        sign_count=2**32 - 1,
        transports=("usb", "nfc"),
        aaguid="f8a011f3-8c0a-4d15-8006-17111f9edc7d",
        synced=True,
        last_used_at=AT + timedelta(microseconds=1),
    )
    other = passkey("bob/key-B", 2, user_id="AIDA2")
    async with directory.change(ACCOUNT) as change:
        await change.insert(PASSKEY, other)
        await change.insert(PASSKEY, made)
        with pytest.raises(AlreadyExistsError):
            await change.insert(PASSKEY, passkey("bob/key-C", 1, user_id="AIDA2"))
        with pytest.raises(AlreadyExistsError):
            await change.insert(PASSKEY, passkey("ANN/key-A", 3))
    assert await directory.named(PASSKEY, ACCOUNT, made.serial.upper()) == made
    assert await directory.all_of(PASSKEY, ACCOUNT, user_id="AIDA1") == (made,)
    assert await directory.all_of(PASSKEY, ACCOUNT) == (made, other)
    async with directory.change(ACCOUNT) as change:
        await change.remove(PASSKEY, made)
    assert await directory.all_of(PASSKEY, ACCOUNT) == (other,)
    async with directory.change(ACCOUNT) as change:
        await change.remove(kinds.ACCOUNT, OWNER)
    assert await directory.all_of(PASSKEY, ACCOUNT) == ()


async def test_a_passkeys_use_is_noted_once_and_leaves_the_generation(
    directory: SqlDirectory, other_directory: SqlDirectory
) -> None:
    await make_account(directory)
    made = passkey("ann/key-A", sign_count=4)
    async with directory.change(ACCOUNT) as change:
        await change.insert(PASSKEY, made)
    before = await directory.generations([ACCOUNT])
    used = replace(made, sign_count=5, last_used_at=AT)
    assert await directory.replace_passkey_use(made, used)
    assert not await other_directory.replace_passkey_use(made, used)
    assert await other_directory.named(PASSKEY, ACCOUNT, made.serial) == used
    for other in (
        replace(used, user_id="AIDA2"),
        replace(used, credential_id=b"other"),
    ):
        assert not await other_directory.replace_passkey_use(other, made)
    assert await directory.generations([ACCOUNT]) == before
