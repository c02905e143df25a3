"""Registered services and their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.decisions.declare import (
    TokenOperations,
    change,
    everything,
    named_service,
    read,
)
from broker.kinds import registered_services as services
from broker.kinds.accounts import require_account
from broker.kinds.bearer_tokens import SERVICE_TOKENS, Owner, owning_service
from broker.model.registered import RegisteredService
from broker.model.request import Params
from broker.stores.directory.kinds import SERVICE

if TYPE_CHECKING:
    from broker.model.types import broker as types


async def _put(params: types.PutServiceRequest, call: Call) -> types.PutServiceResponse:
    service = await services.put_service(
        call.change,
        await require_account(call.change, call.account),
        params["ServiceName"],
        params["Definition"],
        call.now,
    )
    return {"Service": _view(service)}


async def _get(params: types.GetServiceRequest, call: Call) -> types.GetServiceResponse:
    return {"Service": _view(await _require(params["ServiceName"], call))}


async def _list(
    _given: types.ListServicesRequest, call: Call
) -> types.ListServicesResponse:
    listed = await call.directory.all_of(SERVICE, call.account)
    registered = call.directory.with_documents(SERVICE, listed)
    return {"Services": [_view(service) async for service in registered]}


async def _delete(params: types.DeleteServiceRequest, call: Call) -> None:
    await call.change.remove(SERVICE, await _require(params["ServiceName"], call))


async def _require(name: str, call: Call) -> RegisteredService:
    return await services.require_service(call.directory, call.account, name)


def _view(service: RegisteredService) -> types.Service:
    return {
        "Name": service.name,
        "Arn": service.arn,
        "Definition": service.definition,
        "CreateDate": service.created_at,
        "UpdateDate": service.updated_at,
    }


async def _owner(params: Params, call: Call) -> Owner:
    return owning_service(await _require(params["ServiceName"], call))


_TOKENS = TokenOperations(SERVICE_TOKENS, _owner)
SERVICES = (
    change("PutService", _put, named_service),
    read("GetService", _get, named_service),
    read("ListServices", _list, everything),
    change("DeleteService", _delete, named_service),
    change("CreateServiceToken", _TOKENS.create, named_service),
    read("ListServiceTokens", _TOKENS.list, named_service),
    change("DeleteServiceToken", _TOKENS.delete, named_service),
)
