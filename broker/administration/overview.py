"""*Overview*: the state of the account, with links to the details of each number."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from broker.administration.listing import PagePart, read_part
from broker.administration.policies import DETAIL as POLICY
from broker.administration.provider_page import DETAIL as PROVIDER
from broker.administration.roles import DETAIL as ROLE
from broker.administration.services import DETAIL as SERVICE
from broker.administration.services import count_by_service, read_overviews
from broker.console.over_time import (
    REFUSALS,
    count_over_time,
    counted_since,
    largest,
    sum_by_name,
)
from broker.console.pages.audit_filters import AUDIT
from broker.console.visit import PageRoute, Visit, address
from broker.model.audit import CONSOLE_LOGIN, RecordKind
from broker.proofs.refusals import COUNTED_ONLY

PATH = "/console/overview"
SPAN = "7d"
_DAYS = 7
_BUCKET_HOURS = 6
_ENDING_DAYS = 30
KEY_DAYS = 90
UNUSED_DAYS = 90
_SHOWN = 6

Number = tuple[int, str, str]
"""A number, what it counts, and where that is."""


async def _page(visit: Visit) -> Response:
    now = visit.deps.clock.now()
    since = await counted_since(visit, timedelta(days=_DAYS), _BUCKET_HOURS)
    activity = await read_part(
        visit,
        "GetActivity",
        service="signin",
        StartTime=since,
        BucketHours=_BUCKET_HOURS,
    )
    return await visit.show(
        "admin/overview.html",
        activity=activity,
        **_activity(activity, since, now),
        unused=await read_part(
            visit, "ListUnusedRoles", service="signin", Days=UNUSED_DAYS
        ),
        ending=await read_part(
            visit,
            "ListEndingCredentials",
            service="signin",
            Days=_ENDING_DAYS,
            KeyDays=KEY_DAYS,
        ),
        broad=await read_part(visit, "ListBroadPolicies", service="signin"),
        services=await read_overviews(visit),
        service=SERVICE,
        days=_DAYS,
        ending_days=_ENDING_DAYS,
        key_days=KEY_DAYS,
        unused_days=UNUSED_DAYS,
        shown=_SHOWN,
        now=now,
        audit=AUDIT,
        role=ROLE,
        policy=POLICY,
        provider=PROVIDER,
        account=visit.who.session.account,
        address=address,
    )


def _activity(part: PagePart, since: datetime, now: datetime) -> dict[str, Any]:
    if part.found is None:
        return {"counted": None, "by_provider": (), "by_reason": (), "decisions": {}}
    counts = part.found["Activity"]
    return {
        "counted": count_over_time(counts, since, now, _BUCKET_HOURS),
        "by_provider": tuple(
            _by_provider(largest(sum_by_name(counts, [RecordKind.SIGN_IN]), _SHOWN))
        ),
        "decisions": count_by_service(part),
        "by_reason": tuple(
            (count, _reason_words(reason), address(AUDIT, view="refused", range=SPAN))
            for reason, count in largest(sum_by_name(counts, REFUSALS), _SHOWN)
        ),
    }


def _by_provider(counted: Iterable[tuple[str, int]]) -> Iterable[Number]:
    for arn, count in counted:
        # Without a provider it is the console's own sign-in.
        name = arn.split(":", 5)[-1] or "Passwords and console links"
        chosen = {"provider": arn} if arn else {"action": CONSOLE_LOGIN}
        yield (
            count,
            name,
            address(AUDIT, view="sign-ins", decision="allowed", range=SPAN, **chosen),
        )


def _reason_words(reason: str) -> str:
    if reason == COUNTED_ONLY:
        return "Counted only, in bursts"
    return reason[:1].upper() + reason[1:]


PAGES = (PageRoute(PATH, "overview", _page),)
