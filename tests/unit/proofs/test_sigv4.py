"""Signed requests become callers, in the recorded order of checks."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from msgspec.structs import replace

from broker.errors import (
    BrokerError,
    ExpiredToken,
    IncompleteSignature,
    InvalidClientTokenId,
    MalformedQueryString,
    MissingAuthenticationToken,
    ServiceUnavailable,
    SignatureDoesNotMatch,
)
from broker.model.account import Account, AccountId
from broker.model.entities import ACCESS_KEY_SEAL, AccessKey, KeyStatus, Role, User
from broker.model.principal import PrincipalType
from broker.model.request import Door, Params, RawRequest, RequestContext
from broker.model.revocation import Revocations
from broker.model.secret import Secret
from broker.model.session import Session, SessionKind
from broker.proofs import sigv4 as authn_sigv4
from broker.proofs.endpoints import Endpoints
from broker.proofs.long_term import LongTermKeys
from broker.proofs.scheme import ProofResult
from broker.proofs.sigv4 import SignatureScheme, SigningKeys
from broker.protocols.sigv4 import SigV4Rejected, derive_signing_key, parse_signed
from broker.runtime.clock import SystemClock
from broker.sessions.record import SessionRecord
from broker.sessions.resolve import Resolver
from broker.sessions.seal import SessionSealer
from broker.sessions.vault import Vault
from broker.stores.directory import kinds
from broker.stores.directory.stored import Kind
from broker.stores.errors import StoreUnavailableError
from tests.support.iam import make_keyring
from tests.support.sigv4 import KEY_ID, SECRET, edited, presign, sign

ACCOUNT = AccountId("123456789012")
SALT = bytes(range(32))
START = datetime.now(UTC)
SESSION_KEY_ID = f"ASIA{KEY_ID[4:]}"
USER = User(
    account=ACCOUNT,
    user_id="AIDAABCDEFGHIJKLMNOPQ",
    name="alice",
    path="/team/",
    created_at=START,
    tags={"team": "blue"},
)
ROLE = Role(
    account=ACCOUNT,
    role_id="AROAABCDEFGHIJKLMNOPQ",
    name="app",
    path="/",
    trust_policy="{}",
    created_at=START,
)


class Directory:
    """The rows that a test gives it, and a database that can go away."""

    def __init__(self) -> None:
        self.accounts = {
            ACCOUNT: Account(
                account_id=ACCOUNT, alias=None, session_salt=SALT, created_at=START
            )
        }
        self.keys: dict[str, AccessKey] = {}
        self.users = {USER.user_id: USER}
        self.roles = {ROLE.role_id: ROLE}
        self.revoked = Revocations()
        self.away = False

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailableError

    async def find(self, kind: Kind[Any], account: AccountId, key: str = "") -> Any:
        self._reach()
        there: dict[Kind[Any], dict[Any, Any]] = {
            kinds.ACCOUNT: self.accounts,
            kinds.ACCESS_KEY: self.keys,
            kinds.USER: self.users,
            kinds.ROLE: self.roles,
        }
        match = there[kind].get(key or account)
        elsewhere = getattr(match, "account", account) != account
        return None if elsewhere else match

    async def revocations(self, account: AccountId) -> Revocations:
        assert account == ACCOUNT
        return self.revoked


class Index:
    """Session records are of no concern here."""

    def put_later(self, record: SessionRecord) -> None:
        assert record


async def _read_nothing() -> Params:
    return {}


class World:
    """A scheme over real seals, a user's key and a role session."""

    def __init__(self, folder: Path, regions: frozenset[str] | None = None) -> None:
        self.directory = Directory()
        self.keyring = make_keyring(folder / "keyring.json", SystemClock())
        self.vault = Vault(self.keyring, SystemClock())
        self.sealer = SessionSealer(self.keyring)
        self.signing_keys = SigningKeys()
        self.put_key(USER.user_id)
        self.keys = LongTermKeys(self.directory, self.vault)
        self.scheme = SignatureScheme(
            self.keys,
            Resolver(self.sealer, self.directory, Index()),
            Endpoints("broker.example:8080", "us-east-1", regions),
            signing_keys=self.signing_keys,
        )

    def put_key(self, user_id: str | None, *, sealed_for: str = KEY_ID) -> None:
        purpose, column = ACCESS_KEY_SEAL
        sealed = self.vault.seal(purpose, ACCOUNT, sealed_for, column, SECRET.encode())
        self.directory.keys[KEY_ID] = AccessKey(
            account=ACCOUNT,
            access_key_id=KEY_ID,
            user_id=user_id,
            status=KeyStatus.ACTIVE,
            sealed_secret=sealed,
            created_at=START,
        )

    def session(self, **changes: object) -> tuple[str, str]:
        """The token and secret of a session of the role."""
        session = Session(
            access_key_id=SESSION_KEY_ID,
            account=ACCOUNT,
            kind=SessionKind.ASSUME_ROLE,
            principal_id=ROLE.role_id,
            name="job",
            issued_at_ms=int(START.timestamp() * 1000),
            expires_at=int(START.timestamp()) + 3600,
            identity_context={"idp:sub": ("alice",)},
            tags={"team": "red"},
        )
        session = structs.replace(session, **changes)  # type: ignore[arg-type]
        token, secret = self.sealer.seal(
            session, account_salt=SALT, now=datetime.now(UTC)
        )
        return token.reveal(), secret.reveal()

    async def prove(
        self,
        raw: RawRequest,
        *,
        service: str = "sts",
        action: str = "AssumeRole",
        late: int = 0,
    ) -> ProofResult:
        """Proved ``late`` seconds after now."""
        request = RequestContext(
            request_id="r",
            raw=raw,
            door=Door.API,
            now=datetime.now(UTC) + timedelta(seconds=late),
            region="us-east-1",
        )
        proved, _ = await self.scheme.prove(request, service, action, _read_nothing)
        return proved

    async def refused(
        self, raw: RawRequest, *, action: str = "AssumeRole", late: int = 0
    ) -> BrokerError:
        with pytest.raises(BrokerError) as refused:
            await self.prove(raw, action=action, late=late)
        return refused.value


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_users_key_proves_the_user(world: World) -> None:
    proved = await world.prove(sign())
    assert proved.region == "eu-west-3"
    assert proved.caller.principal.arn == f"arn:aws:iam::{ACCOUNT}:user/team/alice"
    assert proved.caller.principal_tags == {"team": "blue"}
    assert proved.caller.access_key_id == KEY_ID
    assert proved.caller.session is None


async def test_a_root_key_proves_the_root(world: World) -> None:
    world.put_key(None)
    proved = await world.prove(sign())
    assert proved.caller.principal.type is PrincipalType.ACCOUNT
    assert proved.caller.principal.arn == f"arn:aws:iam::{ACCOUNT}:root"


@pytest.mark.parametrize("make", [sign, presign])
async def test_temporary_keys_prove_their_session(world: World, make: object) -> None:
    token, secret = world.session()
    assert callable(make)
    proved = await world.prove(make(key_id=SESSION_KEY_ID, secret=secret, token=token))
    assert proved.caller.principal.session_name == "job"
    assert proved.caller.principal_tags["team"] == "red"
    assert proved.caller.context == {"idp:sub": ("alice",)}
    assert proved.caller.session
    assert proved.caller.access_key_id == SESSION_KEY_ID


async def test_every_wire_error_has_its_code(world: World) -> None:
    signature = parse_signed(sign()).signature
    cases: list[tuple[RawRequest, type[BrokerError]]] = [
        (replace(sign(), headers=()), MissingAuthenticationToken),
        (edited(sign(), "authorization", "Signature=", "S="), IncompleteSignature),
        (replace(sign(), query=b"%"), MalformedQueryString),
        (replace(sign(), query=b"X-Amz-Date=1"), SignatureDoesNotMatch),
        (sign(service="iam"), SignatureDoesNotMatch),
        (sign(secret="b" * 40), SignatureDoesNotMatch),
        (edited(sign(), "authorization", "host;", ""), SignatureDoesNotMatch),
        (replace(sign(), body=signature.encode()), SignatureDoesNotMatch),
        (sign(token="x"), InvalidClientTokenId),
        (sign(headers={"X-Amz-Security-Token": ""}), InvalidClientTokenId),
        (sign(key_id=SESSION_KEY_ID), InvalidClientTokenId),
    ]
    for raw, error in cases:
        assert type(await world.refused(raw)) is error


async def test_the_recorded_order_of_checks_holds(world: World) -> None:
    """Each request is wrong in everything that comes later, too."""
    expired, _ = world.session(expires_at=int(START.timestamp()) - 1)
    orphan, _ = world.session(principal_id="AROAGONE")
    other, _ = world.session()
    wrong = "b" * 40

    scope = await world.refused(
        sign(key_id=SESSION_KEY_ID, secret=wrong, region="X", service="s3")
    )
    assert scope.message == (
        "Credential should be scoped to a valid region. "
        "Credential should be scoped to correct service: 'sts'. "
    )
    missing = await world.refused(sign(key_id=SESSION_KEY_ID, secret=wrong))
    assert isinstance(missing, InvalidClientTokenId)
    another = f"ASIARZPUZDIK{'A' * 8}"
    foreign = await world.refused(sign(key_id=another, secret=wrong, token=expired))
    assert isinstance(foreign, InvalidClientTokenId)
    assert foreign.message == "The security token included in the request is invalid."
    over = await world.refused(sign(key_id=SESSION_KEY_ID, secret=wrong, token=expired))
    assert isinstance(over, ExpiredToken)
    gone = await world.refused(sign(key_id=SESSION_KEY_ID, secret=wrong, token=orphan))
    assert isinstance(gone, InvalidClientTokenId)
    last = await world.refused(sign(key_id=SESSION_KEY_ID, secret=wrong, token=other))
    assert isinstance(last, SignatureDoesNotMatch)


async def test_unknown_inactive_and_orphaned_keys_are_refused_alike(
    world: World,
) -> None:
    """And before the signature is looked at."""
    active = world.directory.keys[KEY_ID]
    inactive = replace(active, status=KeyStatus.INACTIVE)
    elsewhere = replace(active, account=AccountId("000000000001"))
    for row in (None, inactive, elsewhere):
        world.directory.keys.clear()
        if row:
            world.directory.keys[KEY_ID] = row
        for secret in (SECRET, "b" * 40):
            refused = await world.refused(sign(secret=secret))
            assert isinstance(refused, InvalidClientTokenId)
            assert refused.message == InvalidClientTokenId().message
    world.directory.keys[KEY_ID] = active
    world.directory.users.clear()
    assert isinstance(await world.refused(sign()), InvalidClientTokenId)


@pytest.mark.parametrize(
    "key_id", ["AKIAIOSFODNN7EXAMPLE", "AKIA", "", "x" * 5000, f"AIDA{KEY_ID[4:]}"]
)
async def test_a_key_id_of_no_account_is_refused(world: World, key_id: str) -> None:
    world.put_key(USER.user_id, sealed_for=key_id)
    world.directory.keys[key_id] = world.directory.keys[KEY_ID]
    assert isinstance(await world.refused(sign(key_id=key_id)), InvalidClientTokenId)


async def test_a_secret_moved_to_another_keys_row_does_not_open(world: World) -> None:
    world.put_key(USER.user_id, sealed_for="AKIARZPUZDIKAAAACAAA")
    refused = await world.refused(sign())
    assert isinstance(refused, InvalidClientTokenId)
    assert "belongs elsewhere" in refused.detail


async def test_no_cached_signing_key_outlives_what_it_was_made_for(
    world: World,
) -> None:
    token, secret = world.session()
    raw = sign(key_id=SESSION_KEY_ID, secret=secret, token=token)
    await world.prove(sign())
    await world.prove(raw)

    world.directory.revoked = Revocations(frozenset({SESSION_KEY_ID}))
    assert isinstance(await world.refused(raw), ExpiredToken)
    world.directory.revoked = Revocations()
    await world.prove(raw)
    world.directory.roles.clear()
    assert isinstance(await world.refused(raw), InvalidClientTokenId)

    key = world.directory.keys[KEY_ID]
    world.directory.keys[KEY_ID] = replace(key, status=KeyStatus.INACTIVE)
    assert isinstance(await world.refused(sign()), InvalidClientTokenId)


async def test_a_new_secret_of_the_same_key_id_is_not_mistaken_for_the_old(
    world: World,
) -> None:
    await world.prove(sign())
    purpose, column = ACCESS_KEY_SEAL
    key = world.directory.keys[KEY_ID]
    sealed = world.vault.seal(purpose, ACCOUNT, KEY_ID, column, b"n" * 40)
    world.directory.keys[KEY_ID] = replace(key, sealed_secret=sealed)
    assert isinstance(await world.refused(sign()), SignatureDoesNotMatch)
    await world.prove(sign(secret="n" * 40))


async def test_a_lost_database_is_said_to_be_lost(world: World) -> None:
    world.directory.away = True
    token, secret = world.session()
    for raw in (sign(), sign(key_id=SESSION_KEY_ID, secret=secret, token=token)):
        assert isinstance(await world.refused(raw), ServiceUnavailable)


@pytest.mark.parametrize(
    ("action", "expires", "last"),
    [
        ("GetCallerIdentity", 60, 900),
        ("GetCallerIdentity", 3600, 3600),
        ("AssumeRole", 60, 60),
    ],
)
async def test_a_presigned_get_caller_identity_holds_for_a_quarter_of_an_hour(
    world: World, action: str, expires: int, last: int
) -> None:
    raw = presign(expires=expires)
    await world.prove(raw, action=action, late=last - 5)
    refused = await world.refused(raw, action=action, late=last + 5)
    assert isinstance(refused, SignatureDoesNotMatch)
    assert refused.message
    assert refused.message.startswith("Signature expired: ")


async def test_the_quarter_of_an_hour_is_for_urls_of_sts_only(world: World) -> None:
    refused = await world.refused(sign(), action="GetCallerIdentity", late=310)
    assert isinstance(refused, SignatureDoesNotMatch)
    with pytest.raises(SignatureDoesNotMatch):
        await world.prove(
            presign(service="iam"), service="iam", action="GetCallerIdentity", late=70
        )


@pytest.mark.parametrize(
    ("regions", "host", "accepted"),
    [
        (None, "127.0.0.1", {"eu-west-3", "us-east-1"}),
        (frozenset({"eu-west-3"}), "127.0.0.1", {"eu-west-3"}),
        (None, "broker.example:8080", {"eu-west-3", "us-east-1"}),
        (None, "sts.eu-west-3.broker.example:8080", {"eu-west-3"}),
        (None, "STS.EU-West-3.Broker.example:8080", {"eu-west-3"}),
        (frozenset({"us-east-1"}), "sts.eu-west-3.broker.example:8080", set()),
        (None, "sts.eu-west-3.broker.example.evil", {"eu-west-3", "us-east-1"}),
        (None, "sts.broker.example:8080", {"us-east-1"}),
        (frozenset({"eu-west-3"}), "sts.broker.example:8080", {"us-east-1"}),
    ],
)
async def test_the_setting_and_the_host_decide_the_regions(
    tmp_path: Path, regions: frozenset[str] | None, host: str, accepted: set[str]
) -> None:
    world = World(tmp_path, regions)
    for region in ("eu-west-3", "us-east-1"):
        raw = sign(headers={"Host": host}, region=region)
        if region in accepted:
            assert (await world.prove(raw)).region == region
        else:
            refused = await world.refused(raw)
            assert refused.message == "Credential should be scoped to a valid region. "


async def test_a_caller_has_the_tags_that_the_user_has_now(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert (await world.prove(sign())).caller.principal_tags == USER.tags
    world.directory.users[USER.user_id] = replace(USER, tags={"team": "moved"})
    assert (await world.prove(sign())).caller.principal_tags == {"team": "moved"}


class CountedKeys(SigningKeys):
    """Notes the scopes for which a key had to be derived."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.derived: list[str] = []

        def derive(secret: str, date: str, region: str, service: str) -> bytes:
            self.derived.append(region)
            return derive_signing_key(secret, date, region, service)

        monkeypatch.setattr(authn_sigv4, "derive_signing_key", derive)

    def verify_at(self, *regions: str, **options: str) -> None:
        for region in regions:
            raw = sign(region=region, **options)
            self.verify(parse_signed(raw), raw, Secret(SECRET))


def test_signing_keys_are_remembered_without_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = CountedKeys(monkeypatch)
    keys.verify_at("eu-west-1", "eu-west-1")
    assert keys.derived == ["eu-west-1"]
    assert SECRET not in repr(vars(keys))


def test_a_wrong_signature_takes_no_place_of_a_signing_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = CountedKeys(monkeypatch)
    for _ in range(2):
        with pytest.raises(SigV4Rejected):
            keys.verify_at("eu-west-1", secret="b" * 40)
    assert keys.derived == ["eu-west-1", "eu-west-1"]
