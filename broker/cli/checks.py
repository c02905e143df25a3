"""The checks of ``broker doctor``; none of them changes anything."""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from broker.cli.findings import Finding, good, problem, warning
from broker.cli.listening import is_loopback
from broker.compose import resealing
from broker.compose.resealing import SealedValue, count_sealed, sealed_values
from broker.compose.storage import Stores
from broker.edges.doors import DOORS
from broker.errors import ServiceUnavailable
from broker.kinds.outbound import find_outbound
from broker.model.audit import AuditFilter
from broker.model.entities import KeyStatus
from broker.model.page import PageRequest
from broker.model.sealing import KeyKind
from broker.proofs.endpoints import GLOBAL_REGION, find_fixed_region
from broker.proofs.saml_request_key import find_sealed_request_key
from broker.runtime.clock import Clock
from broker.sessions.keyring import Keyring, read_old_keys
from broker.sessions.keys import KeyringError, KeyUse
from broker.sessions.vault import key_number
from broker.settings import Settings, unknown_settings
from broker.stores.directory.accounts import list_accounts
from broker.stores.directory.kinds import ACCESS_KEY, LOGIN_PROFILE
from broker.stores.directory.timeline import find_last_timeline
from broker.stores.errors import StoreUnavailableError
from broker.stores.installation import (
    DEMO_MARK,
    StoredInstallation,
    read_installation,
    read_sealing_keys,
)
from broker.stores.migrations import HEAD, SchemaRevisionError, find_revision
from broker.stores.postgresql_servers import servers_of
from broker.stores.server_state import read_server_time, replicates_synchronously
from broker.stores.sqlite_space import waste_of
from broker.stores.urls import (
    PostgresqlLocation,
    SqliteLocation,
    StoreUrlError,
    parse_database_url,
    parse_redis_url,
    redact_url,
    split_hosts,
)

_CLOCK_TOLERANCE = timedelta(seconds=2)
_MUCH_ROOM = 64_000_000
_KEY_AGE = timedelta(days=365)
_TIMELINE_SHOWN = timedelta(days=7)
_SIGN_IN = re.compile(r"(?:^|\.)signin\.")

_REQUEST_KEY = "the key that signs SAML requests"
_REMEDIES: Mapping[str, str] = {
    resealing.ACCESS_KEY: "iam create-access-key for a new one, delete-access-key for this one",
    resealing.CLIENT_SECRET: (
        "broker providers set arn:aws:iam::{account}:oidc-provider/{entity}"
        " ClientSecret=@FILE"
    ),
    resealing.ISSUER_KEY: "broker account rotate-issuer-keys {account}",
    resealing.MFA_DEVICE: "iam deactivate-mfa-device, delete-virtual-mfa-device; assign a new one",
    resealing.PASSWORD: "iam update-login-profile with a new password",
    resealing.SAML_PROVIDER: (
        "iam update-saml-provider --add-private-key with a new key and"
        " --remove-private-key for the old one; give the identity provider our new"
        " metadata"
    ),
}


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Check the settings for combinations that are unsafe or do not work."""
    yield good("settings", f"public URL {settings.public_origin}")
    yield from _check_aliases(settings)
    for name in unknown_settings(os.environ):
        yield warning(
            "settings",
            f"{name} is not a setting and has no effect",
            "remove it, or correct its name; see docs/operating/settings.md",
        )
    if not settings.secure:
        yield warning(
            "settings",
            "browsers and clients reach the broker over plain http",
            "except for a trial, set BROKER_PUBLIC_URL=https://… and put the broker"
            " behind a proxy that terminates TLS",
        )
    elif not settings.trusted_proxies:
        yield warning(
            "settings",
            "no proxy is trusted, so every client appears with the proxy's address",
            "set BROKER_TRUSTED_PROXIES to the proxy's network",
        )
    folder = settings.data_dir
    if folder.exists() and _is_open(folder.stat()):
        yield warning(
            "settings", f"other users can read {folder}", f"chmod 700 {folder}"
        )
    if "rediss" not in settings.redis_url and _is_remote_redis(settings.redis_url):
        yield warning(
            "cache",
            "the connection to Redis is not encrypted",
            "use rediss:// in BROKER_REDIS_URL",
        )


def _is_open(folder: os.stat_result) -> bool:
    """Whether other users reach it; a volume that root lends to a pod has none."""
    mode = stat.S_IMODE(folder.st_mode)
    lent = folder.st_uid == 0 != os.geteuid() and mode & stat.S_ISGID
    return not lent and bool(mode & 0o077)


def _check_aliases(settings: Settings) -> Iterator[Finding]:
    """What the further host names are good for, and what is still refused there."""
    accepted = frozenset(settings.regions)
    for name in settings.host_aliases:
        fixed = find_fixed_region(name, settings.public_host)
        region = GLOBAL_REGION if fixed == "" else fixed
        recipient = f"https://{name}/saml"
        said = ""
        if region is not None:
            said = f", only for signatures for {region}"
        elif _SIGN_IN.search(name) and recipient not in settings.recipients:
            said = (
                f"; assertions made for {recipient} are refused, except from providers"
                " whose Recipients name it"
            )
        yield good("settings", f"also answers as {name}{said}")
        if region is not None and not {"*", region} & accepted:
            yield warning(
                "settings",
                f"every signed call to {name} is refused: BROKER_REGIONS lacks {region}",
                "add the region, or remove the name from BROKER_HOST_ALIASES",
            )


async def check_database(settings: Settings) -> list[Finding]:
    """Check that the database answers and has this version's schema."""
    label = redact_url(settings.database)
    try:
        location = parse_database_url(settings.database)
        if isinstance(location, PostgresqlLocation):
            servers_of(location).remember_in(settings.data_dir / "spool")
        revision = await find_revision(location)
    except StoreUrlError as error:
        return [problem("database", str(error), "fix BROKER_DATABASE_URL")]
    except SchemaRevisionError as error:
        return [problem("database", str(error), "make a backup before you do")]
    except StoreUnavailableError as error:
        return [
            problem(
                "database", f"{label}: {error}", "start it, or fix BROKER_DATABASE_URL"
            )
        ]
    if revision is None:
        return [
            problem(
                "database",
                f"{label} is empty",
                "`broker serve` creates the schema; to restore, load the backup first",
            )
        ]
    if revision != HEAD:
        return [
            problem(
                "database",
                f"{label} has schema revision {revision}, not {HEAD}",
                "`broker serve` upgrades it",
            )
        ]
    return [good("database", f"{label} answers"), *_check_room(settings)]


def _check_room(settings: Settings) -> list[Finding]:
    """Check whether a SQLite file has much free space that it cannot release."""
    location = parse_database_url(settings.database)
    if not isinstance(location, SqliteLocation):
        return []
    size, wasted = waste_of(location.path)
    if wasted * 4 <= size or wasted < _MUCH_ROOM:
        return []
    return [
        warning(
            "database",
            f"{wasted // 1_000_000} MB of {size // 1_000_000} MB are free, and the file"
            " cannot release them",
            "rewrite it once, see docs/operating/outages.md",
        )
    ]


async def check_keyring(
    settings: Settings, stores: Stores, clock: Clock
) -> list[Finding]:
    """Check that the keyring exists, is private and belongs to this database."""
    now = clock.now()
    installation = await read_installation(stores.database, now=now)
    keys = await read_sealing_keys(stores.database)
    path = settings.keyring
    try:
        if not keys:
            old = read_old_keys(path, installation.identity)
            does = "moves its keys into the database" if old else "will be created"
            return [good("keyring", f"{does} at the next start")]
        keyring = Keyring(path, installation.identity or "", keys, clock, settings.skew)
    except KeyringError as error:
        return [
            problem(
                "keyring",
                str(error),
                "follow the message above, then run `broker doctor` again",
            )
        ]
    findings = [good("keyring", f"{path} belongs to this database")]
    if _share_a_folder(settings, installation):
        findings.append(
            warning(
                "keyring",
                "keyring and database share a folder: a backup of it contains every"
                " secret and the keys that open them",
                "move the keyring elsewhere and set BROKER_KEYRING_FILE",
            )
        )
    if len(keyring.masters) > 1:
        findings.append(
            warning(
                "keyring",
                f"{path} has {len(keyring.masters)} master keys",
                "when every node has the same file, run `broker keys rewrap` on one node;"
                " then remove the old master key from every node's file",
            )
        )
    findings.extend(
        warning(
            "keyring",
            f"the {key.kind} key {key.number} is over a year old",
            f"broker keys rotate --kind {key.kind}",
        )
        for key in keyring.list()
        if key.use is KeyUse.SEALING and now - key.created_at > _KEY_AGE
    )
    return [*findings, *await check_sealed_values(keyring, stores, clock)]


async def check_clock(stores: Stores, clock: Clock) -> list[Finding]:
    """Compare this machine's clock with the database's and the newest record."""
    page = await stores.ledger.search(AuditFilter(), PageRequest(None, 1))
    others: list[tuple[str, datetime]] = [
        ("the newest audit record", r.at) for r in page.items
    ]
    now = clock.now()
    ahead = [(name, at - now) for name, at in others if at - now > _CLOCK_TOLERANCE]
    if isinstance(stores.database.location, PostgresqlLocation):
        off = await read_server_time(stores.database) - clock.now()
        if abs(off) > _CLOCK_TOLERANCE:
            ahead.append(("the database server", off))
    if not ahead:
        return [good("clock", "in sync")]
    return [
        problem(
            "clock",
            f"differs from {name} by {off.total_seconds():.0f} seconds",
            "synchronize the clocks (NTP): the validity of proofs depends on them",
        )
        for name, off in ahead
    ]


async def check_replication(stores: Stores, clock: Clock) -> list[Finding]:
    """Check whether a failover can lose changes, and whether some were lost lately."""
    findings: list[Finding] = []
    location = stores.database.location
    if isinstance(location, PostgresqlLocation) and len(split_hosts(location.dsn)) > 1:
        findings.append(
            good("replication", "synchronous")
            if await replicates_synchronously(stores.database)
            else warning(
                "replication",
                "the address names several servers and replication is asynchronous: a"
                " failover can lose revocations and the marks of used proofs",
                "switch synchronous replication on, see docs/running/two-nodes.md",
            )
        )
    last = await find_last_timeline(stores.directory)
    if last is not None and clock.now() - last[1] < _TIMELINE_SHOWN:
        findings.append(
            warning(
                "database",
                f"lacked changes that it had, noticed {last[1]:%Y-%m-%d %H:%M} UTC: it"
                " failed over to a replica that was behind, or was restored",
                "revoke and change again what was revoked and changed just before; see"
                " docs/operating/outages.md",
            )
        )
    return findings


async def check_cache(settings: Settings, stores: Stores) -> list[Finding]:
    """Check that the cache answers."""
    label = redact_url(settings.redis_url) or "the embedded cache"
    try:
        await stores.cache.ping()
    except StoreUnavailableError as error:
        return [
            problem(
                "cache",
                f"{label}: {error}; API calls work, console sign-in does not",
                "start it, or fix BROKER_REDIS_URL",
            )
        ]
    return [good("cache", f"{label} answers")]


async def check_accounts(stores: Stores) -> list[Finding]:
    """Find accounts with an active root key, or whose root user may sign in."""
    accounts = await list_accounts(stores.directory)
    if not accounts:
        return [
            warning(
                "accounts",
                "there are no accounts",
                "broker account create ID, or broker apply FILE",
            )
        ]
    findings = [good("accounts", f"{len(accounts)} found")]
    for account in accounts:
        number = account.account_id
        findings.extend(
            warning(
                f"root key {key.access_key_id} of {number}",
                "is active",
                f"broker account root-key {number} --deactivate, once roles replace it",
            )
            for key in await stores.directory.all_of(ACCESS_KEY, number, user_id=None)
            if key.status is KeyStatus.ACTIVE
        )
        if await stores.directory.find(LOGIN_PROFILE, number, number) is not None:
            findings.append(
                warning(
                    f"root user of {number}",
                    "may sign in with a password",
                    f"broker account root-password {number} --off, once the emergency"
                    " is over",
                )
            )
    return findings


async def check_doors(stores: Stores) -> list[Finding]:
    """Say what strangers can reach besides the pages and the API, and why."""
    return [
        good(
            "entry points",
            f"{door.name}: open, since there is {door.opened_by}"
            if await door.is_used(stores.directory)
            else f"{door.name}: closed until there is {door.opened_by}",
        )
        for door in DOORS
    ]


async def check_issuers(stores: Stores, clock: Clock) -> list[Finding]:
    """Find issuers whose keys are from before keys had certificates."""
    findings: list[Finding] = []
    for account in await list_accounts(stores.directory):
        outbound = find_outbound(account)
        published = outbound.published(clock.now()) if outbound else ()
        if any(key.certificate is None for key in published):
            number = account.account_id
            findings.append(
                warning(
                    f"issuer of {number}",
                    "publishes keys without certificates, which Ceph needs",
                    f"broker account rotate-issuer-keys {number}; the old keys stay for"
                    " as long as their tokens do",
                )
            )
    return findings


def _share_a_folder(settings: Settings, installation: StoredInstallation) -> bool:
    location = parse_database_url(settings.database)
    if isinstance(location, PostgresqlLocation) or installation.marks.get(DEMO_MARK):
        return False
    return location.path.resolve().parent == settings.keyring.resolve().parent


def _is_remote_redis(url: str) -> bool:
    if not url:
        return False
    try:
        hosts = [host for host, _ in parse_redis_url(url).hosts]
    except StoreUrlError:
        return False
    return not all(is_loopback(host) for host in hosts)


async def check_sealed_values(
    keyring: Keyring, stores: Stores, clock: Clock
) -> list[Finding]:
    """Find secrets whose storage key is missing, and say how to replace them."""
    findings: list[Finding] = []
    counted = await count_sealed(stores.directory)
    count = sum(counted.values())
    missing = {number for number in counted if not _opens(keyring, number, clock)}
    if missing:
        # Two keys of a SAML provider sealed with the same key are equal: report one.
        broken = {
            value: _problem(str(value), value.number, _remedy(value))
            async for value in sealed_values(stores.directory)
            if value.number in missing
        }
        findings += broken.values()
    sealed = await find_sealed_request_key(stores.database, clock.now())
    if sealed is not None:
        count += 1
        number = key_number(sealed)
        if not _opens(keyring, number, clock):
            remedy = (
                f"broker keys revoke {number} replaces it; give the new metadata to"
                " identity providers that verify requests"
            )
            findings.append(_problem(_REQUEST_KEY, number, remedy))
    none = "none stored"
    return findings or [
        good("secrets", f"{count} stored, all can be opened" if count else none)
    ]


def _opens(keyring: Keyring, number: int, clock: Clock) -> bool:
    try:
        key = keyring.find_opening_key(KeyKind.STORAGE, number, clock.now())
    except ServiceUnavailable:
        return False
    return key is not None


def _problem(subject: str, number: int, remedy: str) -> Finding:
    return problem(
        subject, f"is sealed with storage key {number}, which is not available", remedy
    )


def _remedy(value: SealedValue) -> str:
    return _REMEDIES.get(value.kind, "create a new one and delete this one").format(
        account=value.account, entity=value.entity
    )
