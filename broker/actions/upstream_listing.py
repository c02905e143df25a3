"""``ListUpstreams``: what administrators see of the upstreams behind their roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.decisions.declare import everything, read
from broker.stores.directory.kinds import UPSTREAM

if TYPE_CHECKING:
    from broker.model.types import broker as types


async def _list(
    _given: types.ListUpstreamsRequest, call: Call
) -> types.ListUpstreamsResponse:
    return {
        "Upstreams": [
            {
                "Name": one.name,
                "Definition": one.definition,
                "AccessKeyId": one.access_key_id,
                "CreateDate": one.created_at,
                "UpdateDate": one.updated_at,
            }
            for one in await call.directory.all_of(UPSTREAM, call.account)
        ]
    }


LIST_UPSTREAMS = read("ListUpstreams", _list, everything)
