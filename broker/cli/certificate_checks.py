"""``broker doctor`` on trust anchors and revocation lists."""

from datetime import timedelta

from broker.cli.findings import Finding, good, warning
from broker.compose.storage import Stores
from broker.kinds.revocation_lists import list_expiries
from broker.kinds.trust_anchors import anchor_expiries
from broker.runtime.clock import Clock
from broker.stores.directory.accounts import list_everywhere
from broker.stores.directory.kinds import CERTIFICATE_LIST, TRUST_ANCHOR

ANCHOR_SOON = timedelta(days=45)
"""AWS warns of a trust anchor's end from 45 days before on."""

LIST_SOON = timedelta(days=1)
_SUBJECT = "roles anywhere"


async def check_certificates(stores: Stores, clock: Clock) -> list[Finding]:
    """Find trust anchors and revocation lists that end, or have ended.

    An enabled list that is out of date refuses every certificate of its issuer.
    """
    directory, now = stores.directory, clock.now()
    anchors = await list_everywhere(directory, TRUST_ANCHOR)
    found = [good(_SUBJECT, f"{len(anchors)} trust anchors")] if anchors else []
    found += [
        warning(
            _SUBJECT,
            f"{one.subject[:200]} of {anchor.arn} {_ends(one.at <= now)}"
            f" {one.at:%Y-%m-%d}",
            "add the next certificate with aws rolesanywhere update-trust-anchor",
        )
        for anchor in anchors
        for one in anchor_expiries(anchor.certificates)
        if anchor.enabled and one.at and one.at <= now + ANCHOR_SOON
    ]
    found += [
        warning(
            _SUBJECT,
            f"the revocation list {listed.name} ({listed.arn})"
            f" {_ends(one.at <= now)} {one.at:%Y-%m-%d %H:%M} UTC; after that,"
            f" certificates of {one.subject[:200]} are refused",
            "import the authority's next list with aws rolesanywhere update-crl",
        )
        for listed in await list_everywhere(directory, CERTIFICATE_LIST)
        for one in list_expiries(listed.data)
        if listed.enabled and one.at and one.at <= now + LIST_SOON
    ]
    return found


def _ends(has_ended: bool) -> str:  # reads as a word
    return "expired on" if has_ended else "expires on"
