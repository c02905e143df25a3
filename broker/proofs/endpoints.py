"""The endpoint a request was sent to: one origin, or a host name for each region.

    sts.REGION.HOST   that region only
    sts.HOST          the global endpoint, which is signed for as us-east-1
    HOST              every configured region

If the operator configures AWS's own host names as aliases, they fix the region too:
those of STS as here, and IAM's as a global endpoint.

Source: IAM User Guide, id_credentials_temp_region-endpoints; AWS General Reference,
"IAM endpoints and quotas"; recorded answers (REC-A).
"""

import re
from collections.abc import Set as AbstractSet

from broker.model.request import RawRequest
from broker.runtime.bounded import remembered

GLOBAL_REGION = "us-east-1"
_REGION = re.compile(r"(?:[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2})?", re.ASCII)
_AWS = re.compile(
    r"(?:sts(?:-fips)?(?:\.([a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}))?|iam(?:-fips|\.global)?)"
    r"\.(?:amazonaws\.com(?:\.cn)?|api\.aws)(?::[0-9]{1,5})?",
    re.ASCII,
)


class Endpoints:
    """The host names of this installation, and the regions that they stand for.

    ``public_host`` has its port, if the scheme's own is not used; ``regions`` are the
    configured ones, None for all.
    """

    def __init__(
        self, public_host: str, home_region: str, regions: AbstractSet[str] | None
    ) -> None:
        self._public_host = public_host
        self._home_region = home_region
        self._regions = regions
        self._located = remembered()(self._locate)
        self._regions_of = remembered()(self._list_regions)

    def find_region(self, raw: RawRequest) -> str:
        """The region that serves a call whose proof names none.

        A host of a region that is not configured counts as the home region's.
        """
        return self.locate(raw)[0]

    def locate(self, raw: RawRequest) -> tuple[str, bool]:
        """That region, and whether this is the global endpoint."""
        return self._located(raw.find_header(b"host"))

    def regions_at(self, raw: RawRequest) -> AbstractSet[str] | None:
        """The regions that a request may be signed for; None for all."""
        return self._regions_of(raw.find_header(b"host"))

    def _locate(self, host: str | None) -> tuple[str, bool]:
        fixed = find_fixed_region(host, self._public_host)
        if fixed == "":
            return GLOBAL_REGION, True
        regions = self._regions
        if fixed is None or (regions is not None and fixed not in regions):
            return self._home_region, False
        return fixed, False

    def _list_regions(self, host: str | None) -> AbstractSet[str] | None:
        region = find_fixed_region(host, self._public_host)
        if region is None:
            return self._regions
        if not region:
            return {GLOBAL_REGION}
        return {region} if self._regions is None else self._regions & {region}


def find_fixed_region(host: str | None, public_host: str) -> str | None:
    """The region that a Host header fixes; empty for the global endpoint's name.

    None when the host says nothing about regions. ``public_host`` has its port, if
    the scheme's own is not used.
    """
    if host is None:
        return None
    name = host.lower()
    aws = _AWS.fullmatch(name)
    if aws is not None and name != public_host.lower():
        return aws[1] or ""
    tail = f".{public_host.lower()}"
    if not name.startswith("sts.") or not name.endswith(tail):
        return None
    region = name[len("sts.") : -len(tail)]
    return region if _REGION.fullmatch(region) else None
