"""What a certificate opened, and may still open by itself: join tokens and machines.

A session of IAM Roles Anywhere goes on until it expires, as in AWS. What it made lasts
longer than that, so it is asked here, at each use, as a new session of the certificate
would be: whether the trust anchor and the profile are there and enabled, and the
certificate is not revoked.
"""

from collections.abc import Sequence
from datetime import datetime

from broker.model.account import AccountId
from broker.model.lineage import Lineage
from broker.model.roles_anywhere import CertificateList
from broker.protocols.x509.revocation import (
    RevocationList,
    find_revocation,
    parse_revocation_lists,
)
from broker.runtime.offload import offload_long
from broker.stores.directory.kinds import CERTIFICATE_PROFILE, TRUST_ANCHOR
from broker.stores.directory.readings import LISTS_OF_ANCHOR, FreshDirectory

_CERTIFICATE = "certificate"
_PARTS = 5


def certificate_target(
    anchor_id: str, profile_id: str, serial: int, issuer_digest: str
) -> str:
    """The target in a lineage that names a certificate, and what it was used with."""
    parts = (_CERTIFICATE, anchor_id, profile_id, f"{serial:x}", issuer_digest)
    return "/".join(parts)


async def find_certificate_end(
    lineage: Lineage, fresh: FreshDirectory, now: datetime
) -> str:
    """Why the certificate that a lineage began with opens nothing; empty if it does.

    Empty, too, if it began with none.

    Raises:
        StoreUnavailableError: the directory is away.
    """
    origin = lineage.origin
    for target in origin.targets:
        parts = target.split("/")
        if parts[0] != _CERTIFICATE or len(parts) != _PARTS or origin.account is None:
            continue
        _, anchor_id, profile_id, serial, issuer_digest = parts
        account = origin.account
        anchor = await fresh.find(TRUST_ANCHOR, account, anchor_id)
        if anchor is None or not anchor.enabled:
            return f"the trust anchor {anchor_id} is deleted or disabled"
        profile = await fresh.find(CERTIFICATE_PROFILE, account, profile_id)
        if profile is None or not profile.enabled:
            return f"the profile {profile_id} is deleted or disabled"
        lists = await list_revocations(fresh, account, anchor_id)
        if end := find_revocation(int(serial, 16), issuer_digest, lists, now):
            return end
    return ""


async def list_revocations(
    fresh: FreshDirectory, account: AccountId, anchor_id: str
) -> Sequence[RevocationList]:
    """The enabled revocation lists of a trust anchor, each read once."""
    lists = await fresh.read(account, LISTS_OF_ANCHOR, anchor_id)
    return [
        revocation_list
        for listed in lists
        if listed.enabled
        for revocation_list in await _parsed(fresh, listed)
    ]


async def _parsed(
    fresh: FreshDirectory, listed: CertificateList
) -> tuple[RevocationList, ...]:
    async def load() -> tuple[RevocationList, ...]:
        data = listed.data
        return await offload_long(len(data), lambda: parse_revocation_lists(data))

    key = "revocation-lists", listed.list_id
    return await fresh.memo.keep(listed.account, key, listed.data, load)
