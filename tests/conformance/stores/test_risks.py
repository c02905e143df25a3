"""What is unused, old or about to end in an account is found, and nothing of another's."""

from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from broker.model.account import Account, AccountId
from broker.model.credentials import (
    CredentialKind,
    CredentialStatus,
    ServerCertificate,
    UserCredential,
)
from broker.model.entities import (
    AccessKey,
    InlinePolicy,
    KeyStatus,
    ManagedPolicy,
    PolicyVersion,
    Role,
    User,
)
from broker.stores.database import Database
from broker.stores.directory.accounts import insert_account
from broker.stores.directory.identities import insert_access_key
from broker.stores.directory.kinds import (
    ROLE,
    SERVER_CERTIFICATE,
    USER,
    USER_CREDENTIAL,
)
from broker.stores.directory.overviews import (
    list_ending_credentials,
    list_old_keys,
    list_unused_roles,
)
from broker.stores.directory.policies import put_inline_policy
from broker.stores.directory.policy_texts import list_policy_texts
from broker.stores.directory.sql import SqlDirectory
from broker.stores.urls import DatabaseLocation
from broker.stores.uses import UseBuffer
from tests.support.policies import insert_policy

ACCOUNT = AccountId("000000000001")
OTHER = AccountId("000000000002")
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def role(name: str, age: int, account: AccountId = ACCOUNT, path: str = "/") -> Role:
    return Role(
        account=account,
        role_id=f"AROA{name}{account}",
        name=name,
        path=path,
        trust_policy="{}",
        created_at=AT - age * DAY,
    )


def key(name: str, age: int, user_id: str | None, account: AccountId) -> AccessKey:
    return AccessKey(
        access_key_id=f"AKIA{name}{account}",
        account=account,
        user_id=user_id,
        status=KeyStatus.ACTIVE,
        sealed_secret=b"s",
        created_at=AT - age * DAY,
    )


def credential(name: str, days: int | None, user: User) -> UserCredential:
    return UserCredential(
        account=user.account,
        credential_id=f"ACCA{name}{user.account}",
        kind=CredentialKind.SERVICE_SPECIFIC,
        user_id=user.user_id,
        status=CredentialStatus.ACTIVE,
        created_at=AT,
        expires_at=None if days is None else AT + days * DAY,
    )


def certificate(name: str, days: int, account: AccountId) -> ServerCertificate:
    return ServerCertificate(
        account=account,
        certificate_id=f"ASCA{name}{account}",
        name=name,
        path="/",
        body="",
        chain=None,
        sealed_key=b"s",
        uploaded_at=AT,
        expires_at=AT + days * DAY,
    )


def policy(name: str, document: str, account: AccountId) -> ManagedPolicy:
    return ManagedPolicy(
        account=account,
        policy_id=f"ANPA{name}{account}",
        name=name,
        path="/team/",
        description=None,
        default_version=PolicyVersion(
            version_id="v1", document=document, created_at=AT
        ),
        next_version=2,
        created_at=AT,
        updated_at=AT,
    )


async def fill(location: DatabaseLocation, directory: SqlDirectory) -> None:
    for account in (ACCOUNT, OTHER):
        user = User(
            account=account,
            user_id=f"AIDA{account}",
            name="ann",
            path="/",
            created_at=AT,
        )
        async with directory.change(account) as change:
            await insert_account(
                change,
                Account(
                    account_id=account,
                    alias=None,
                    session_salt=bytes(32),
                    created_at=AT,
                ),
            )
            await change.insert(USER, user)
            for made in (
                role("Used", 200, account),
                role("Never", 200, account),
                role("Lately", 10, account),
                role("Gone", 200, account),
                role("AWS", 200, account, "/aws-service-role/x.amazonaws.com/"),
            ):
                await change.insert(ROLE, made)
            root, off = key("root", 300, None, account), key("off", 900, None, account)
            await insert_access_key(change, root)
            await insert_access_key(change, replace(off, status=KeyStatus.INACTIVE))
            await insert_access_key(change, key("old", 200, user.user_id, account))
            await insert_access_key(change, key("new", 5, user.user_id, account))
            for user_credential in (
                credential("soon", 3, user),
                credential("later", 90, user),
                credential("never", None, user),
            ):
                await change.insert(USER_CREDENTIAL, user_credential)
            await change.insert(SERVER_CERTIFICATE, certificate("tls", -1, account))
            await change.insert(SERVER_CERTIFICATE, certificate("fine", 99, account))
            await insert_policy(change, policy("Second", '{"b":1}', account))
            await insert_policy(change, policy("first", '{"a":1}', account))
            await put_inline_policy(
                change,
                InlinePolicy(
                    account=account,
                    owner_id=user.user_id,
                    name="Own",
                    document='{"c":1}',
                ),
            )
    database = Database(location)
    uses = UseBuffer(database)
    for account in (ACCOUNT, OTHER):
        used, gone = role("Used", 0, account), role("Gone", 0, account)
        uses.note(account, used.role_id, "s3", "GetObject", AT - 100 * DAY, "r")
        uses.note(account, used.role_id, "iam", "GetUser", AT - 3 * DAY, "r")
        uses.note(account, gone.role_id, "iam", "GetUser", AT - 100 * DAY, "r")
    await uses.flush()
    await database.close()


async def test_roles_that_nobody_uses(
    location: DatabaseLocation, directory: SqlDirectory
) -> None:
    await fill(location, directory)
    roles = await list_unused_roles(directory, ACCOUNT, AT - 90 * DAY, 10)
    assert [
        (unused_role.role.name, unused_role.last_used_at) for unused_role in roles
    ] == [
        ("Gone", AT - 100 * DAY),
        ("Never", None),
    ]
    assert {unused_role.role.account for unused_role in roles} == {ACCOUNT}
    assert len(await list_unused_roles(directory, ACCOUNT, AT - 90 * DAY, 1)) == 1


async def test_keys_that_are_old(
    location: DatabaseLocation, directory: SqlDirectory
) -> None:
    await fill(location, directory)
    old_keys = await list_old_keys(directory, ACCOUNT, AT - 90 * DAY, 10)
    assert [(old_key.user_name, old_key.created_at) for old_key in old_keys] == [
        ("root", AT - 300 * DAY),
        ("ann", AT - 200 * DAY),
    ]
    assert len(await list_old_keys(directory, ACCOUNT, AT - 90 * DAY, 1)) == 1


async def test_credentials_that_end(
    location: DatabaseLocation, directory: SqlDirectory
) -> None:
    await fill(location, directory)
    credentials = await list_ending_credentials(directory, ACCOUNT, AT + 30 * DAY, 10)
    assert [
        (ending_credential.kind, ending_credential.name, ending_credential.expires_at)
        for ending_credential in credentials
    ] == [
        ("server-certificate", "tls", AT - DAY),
        (CredentialKind.SERVICE_SPECIFIC, "ann", AT + 3 * DAY),
    ]


async def test_the_texts_of_policies(
    location: DatabaseLocation, directory: SqlDirectory
) -> None:
    await fill(location, directory)
    texts = await list_policy_texts(directory, ACCOUNT, 10)
    assert [
        (policy_text.kind, policy_text.name, policy_text.owner, policy_text.document)
        for policy_text in texts
    ] == [
        ("policy", "team/first", "", '{"a":1}'),
        ("policy", "team/Second", "", '{"b":1}'),
        ("user", "Own", "ann", '{"c":1}'),
    ]
    for limit in (1, 2):
        assert len(await list_policy_texts(directory, ACCOUNT, limit)) == limit
