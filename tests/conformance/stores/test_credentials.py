"""What the directory's port promises of credentials and roles for machines."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from broker.model.account import Account, AccountId
from broker.model.credentials import (
    CredentialKind,
    CredentialStatus,
    MfaDevice,
    MfaState,
    Passkey,
    UserCredential,
)
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.identities import (
    list_credentials_of,
)
from broker.stores.directory.kinds import (
    MFA_DEVICE,
    PASSKEY,
    USER_CREDENTIAL,
)
from broker.stores.directory.sql import SqlDirectory

ACCOUNT = AccountId("000000000001")
AT = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)


def device(name: str, **more: object) -> MfaDevice:
    params: dict[str, object] = {
        "account": ACCOUNT,
        "serial": f"arn:aws:iam::{ACCOUNT}:mfa/{name}",
        "virtual": True,
        "sealed_seed": b"sealed",
        "created_at": AT,
        **more,
    }
    return MfaDevice(**params)  # type: ignore[arg-type]  # fields by name


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


async def test_a_state_is_replaced_once_and_leaves_the_generation(
    directory: SqlDirectory, other_directory: SqlDirectory
) -> None:
    await make_account(directory)
    made = device("ann", user_id="AIDA1")
    async with directory.change(ACCOUNT) as change:
        await change.insert(MFA_DEVICE, made)
    before = await directory.last_changes([ACCOUNT])
    new = MfaState(last_step=7, drift=-1, failures=2, locked_until=AT)
    assert await directory.replace_mfa_state(made, new)
    assert not await other_directory.replace_mfa_state(made, new)
    mfa_device = await other_directory.named(MFA_DEVICE, ACCOUNT, made.serial)
    assert mfa_device == replace(made, state=new)
    stranger = replace(mfa_device, user_id="AIDA2")
    assert not await other_directory.replace_mfa_state(stranger, MfaState())
    assert await directory.last_changes([ACCOUNT]) == before


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
    credentials = await directory.all_of(
        USER_CREDENTIAL, ACCOUNT, kind=kind, user_id="AIDA1"
    )
    several = await list_credentials_of(directory, ACCOUNT, ["AIDA1"])
    assert sorted(
        user_credential.credential_id for user_credential in several
    ) == sorted(
        user_credential.credential_id for user_credential in (*credentials, other)
    )
    assert await list_credentials_of(directory, ACCOUNT, ["AIDAX"]) == ()
    assert credentials == (keys[0], keys[2])
    changed = replace(keys[0], status=CredentialStatus.INACTIVE, expires_at=None)
    async with directory.change(ACCOUNT) as change:
        await change.update(USER_CREDENTIAL, changed)
        await change.remove(USER_CREDENTIAL, keys[2])
    assert await directory.all_of(
        USER_CREDENTIAL, ACCOUNT, kind=kind, user_id="AIDA1"
    ) == (changed,)
    assert await directory.find(USER_CREDENTIAL, ACCOUNT, keys[2].credential_id) is None


def passkey(name: str, number: int = 1, **more: object) -> Passkey:
    params: dict[str, object] = {
        "account": ACCOUNT,
        "serial": f"arn:aws:iam::{ACCOUNT}:u2f/user/{name}",
        "user_id": "AIDA1",
        "credential_id": bytes([number]) * 32,
        "public_key": b"cose",
        "enabled_at": AT,
        **more,
    }
    return Passkey(**params)  # type: ignore[arg-type]  # fields by name


async def test_a_passkeys_use_is_noted_once_and_leaves_the_generation(
    directory: SqlDirectory, other_directory: SqlDirectory
) -> None:
    await make_account(directory)
    made = passkey("ann/key-A", sign_count=4)
    async with directory.change(ACCOUNT) as change:
        await change.insert(PASSKEY, made)
    before = await directory.last_changes([ACCOUNT])
    used = replace(made, sign_count=5, last_used_at=AT)
    assert await directory.replace_passkey_use(made, used)
    assert not await other_directory.replace_passkey_use(made, used)
    assert await other_directory.named(PASSKEY, ACCOUNT, made.serial) == used
    for other in (
        replace(used, user_id="AIDA2"),
        replace(used, credential_id=b"other"),
    ):
        assert not await other_directory.replace_passkey_use(other, made)
    assert await directory.last_changes([ACCOUNT]) == before
