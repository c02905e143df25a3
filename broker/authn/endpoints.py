"""Where a request was sent: one origin, or a name for each region.

    sts.REGION.HOST   that region only
    sts.HOST          the global endpoint, which is signed for as us-east-1
    HOST              every configured region

AWS's own names, where the operator made them aliases, fix the region likewise.

Source: reference 1.1 and 7.6.
"""

import re
from collections.abc import Set as AbstractSet
from functools import lru_cache

GLOBAL_REGION = "us-east-1"
_CACHED_HOSTS = 1024
_REGION = re.compile(r"(?:[a-z]{2}(?:-[a-z]+)+-[0-9]{1,2})?", re.ASCII)
_AWS = re.compile(
    r"sts(?:-fips)?(?:\.([a-z]{2}(?:-[a-z]+)+-[0-9]{1,2}))?"
    r"\.(?:amazonaws\.com(?:\.cn)?|api\.aws)(?::[0-9]{1,5})?",
    re.ASCII,
)


def unsigned_region(
    fixed: str | None, home_region: str, regions: AbstractSet[str] | None
) -> str:
    """The region that serves a call whose signature names none.

    ``fixed`` is what ``find_fixed_region`` said, ``regions`` the configured ones (None
    for all). A host of another region counts as the home region's.
    """
    if fixed is None or (fixed and regions is not None and fixed not in regions):
        return home_region
    return fixed or GLOBAL_REGION


@lru_cache(_CACHED_HOSTS)
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
