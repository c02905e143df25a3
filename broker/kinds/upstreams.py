"""Upstreams, the other STS endpoints that mint for roles: the rules.

An account's administrators do not set them: a definition says where proved sessions are
handed on to, and may use the credentials of the broker's environment.
"""

import re
from datetime import datetime

from msgspec.structs import replace

from broker.errors import InvalidInput
from broker.kinds.limits import Quota
from broker.kinds.rules import finder, require_room
from broker.kinds.upstream_definition import (
    UpstreamRejected,
    normalize_upstream,
    parse_upstream,
    parse_upstreams,
)
from broker.model.account import Account
from broker.model.sealing import Sealer
from broker.model.secret import Secret
from broker.model.upstream import UPSTREAM_SEAL, Upstream
from broker.stores.directory.kinds import UPSTREAM
from broker.stores.directory.port import DirectoryChange

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_KEY_ID = re.compile(r"[!-~]{1,128}")


require_upstream = finder(UPSTREAM, "The account {1} has no upstream {0}.")


def checked_definition(name: str, text: str) -> str:
    """A definition as it is stored.

    Raises:
        InvalidInput: the name or the definition is not allowed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name[:80]} cannot be an upstream's name: use 1 to 64 letters, digits,"
            " hyphens and underscores."
        )
    try:
        return normalize_upstream(text)
    except UpstreamRejected as error:
        raise InvalidInput(f"The upstream {name} is refused: {error}.") from error


async def put_upstream(
    change: DirectoryChange, account: Account, name: str, text: str, now: datetime
) -> Upstream:
    """Make an upstream, or give it another definition; its key pair stays.

    Raises:
        InvalidInput: name or definition is not allowed, or another upstream has one of
            its roles.
        LimitExceeded: the account has too many.
    """
    definition = checked_definition(name, text)
    mine = parse_upstream(definition)
    present = {
        upstream.name: upstream
        async for upstream in change.with_documents(
            UPSTREAM, await change.all_of(UPSTREAM, account.account_id)
        )
    }
    before = present.pop(name, None)
    others, _unreadable = parse_upstreams(present.values())
    for other, its in others.items():
        shared = mine.roles.keys() & its.roles.keys()
        if shared:
            raise InvalidInput(
                f"The role {min(shared)} belongs to the upstream {other}."
            )
        for upstream_definition, another, where in (
            (mine, its, other),
            (its, mine, name),
        ):
            entry = upstream_definition.revocation and another.find_entry(
                upstream_definition.revocation.role
            )
            if entry:
                raise InvalidInput(
                    f"The entry {entry} of the upstream {where} would give the role of a"
                    " Revocation."
                )
    if before is None:
        await require_room(change, account, UPSTREAM, Quota.UPSTREAMS)
        before = Upstream(
            account=account.account_id,
            name=name,
            definition=definition,
            created_at=now,
            updated_at=now,
        )
    after = replace(before, definition=definition, updated_at=now)
    await change.put(UPSTREAM, after)
    return after


async def put_key_pair(
    change: DirectoryChange,
    upstream: Upstream,
    *,
    access_key_id: str,
    secret: Secret | None,
    sealer: Sealer,
    now: datetime,
) -> Upstream:
    """Give an upstream a key pair, or take it away (without a secret).

    Raises:
        InvalidInput: the id cannot be one.
    """
    sealed = None
    if secret is not None:
        if not _KEY_ID.fullmatch(access_key_id):
            raise InvalidInput(f"{access_key_id[:80]} is not an access key ID.")
        purpose, column = UPSTREAM_SEAL
        sealed = sealer.seal(
            purpose, upstream.account, upstream.name, column, secret.reveal().encode()
        )
    after = replace(
        upstream, access_key_id=access_key_id, sealed_secret=sealed, updated_at=now
    )
    await change.put(UPSTREAM, after)
    return after
