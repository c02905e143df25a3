"""Certificate revocation lists: import, get, list, update, enable, disable, delete."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.roles_anywhere.declare import (
    change,
    everything,
    given_tags,
    list_page,
    read,
    refusing,
    revocation_list,
)
from broker.identities import roles_anywhere as rules
from broker.identities.accounts import require_account
from broker.model.roles_anywhere import CertificateList, rolesanywhere_arn
from broker.offload import offload_long
from broker.stores.directory.kinds import CERTIFICATE_LIST

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types

_UNSUPPORTED = ("aliasName",)


async def _import(given: types.ImportCrlRequest, call: Call) -> types.CrlDetailResponse:
    anchor = await rules.require_anchor(
        call.change, call.account, call.region, given["trustAnchorArn"]
    )
    data = given["crlData"]
    await offload_long(len(data), lambda: rules.check_list(data, anchor))
    created = await rules.import_list(
        call.change,
        await require_account(call.change, call.account),
        anchor,
        name=given["name"],
        data=data,
        enabled=given.get("enabled", False),
        tags=given_tags(given),
        now=call.now,
    )
    return {"crl": _view(created)}


async def _get(given: types.ScalarCrlRequest, call: Call) -> types.CrlDetailResponse:
    return {"crl": _view(await _require(given["crlId"], call))}


async def _list(given: types.ListRequest, call: Call) -> types.ListCrlsResponse:
    lists = [
        one
        for one in await call.directory.all_of(CERTIFICATE_LIST, call.account)
        if one.region == call.region
    ]
    shown, token = list_page(given, lists, lambda one: one.list_id)
    return {"crls": [_view(one) for one in shown], **token}  # type: ignore[typeddict-item]


async def _update(given: types.UpdateCrlRequest, call: Call) -> types.CrlDetailResponse:
    found = await _require(given["crlId"], call)
    data = given.get("crlData")
    if data is not None:
        anchor = await rules.require_anchor(
            call.change, call.account, call.region, found.anchor_id
        )
        await offload_long(len(data), lambda: rules.check_list(data, anchor))
        found = replace(found, data=data)
    return await _write(replace(found, name=given.get("name", found.name)), call)


async def _enable(given: types.ScalarCrlRequest, call: Call) -> types.CrlDetailResponse:
    found = await _require(given["crlId"], call)
    return await _write(replace(found, enabled=True), call)


async def _disable(
    given: types.ScalarCrlRequest, call: Call
) -> types.CrlDetailResponse:
    found = await _require(given["crlId"], call)
    return await _write(replace(found, enabled=False), call)


async def _delete(given: types.ScalarCrlRequest, call: Call) -> types.CrlDetailResponse:
    found = await _require(given["crlId"], call)
    await call.change.remove(CERTIFICATE_LIST, found)
    return {"crl": _view(found)}


async def _write(wanted: CertificateList, call: Call) -> types.CrlDetailResponse:
    updated = replace(wanted, updated_at=call.now)
    await call.change.update(CERTIFICATE_LIST, updated)
    return {"crl": _view(updated)}


async def _require(identifier: str, call: Call) -> CertificateList:
    return await rules.require_list(
        call.directory, call.account, call.region, identifier
    )


def _view(found: CertificateList) -> types.CrlDetail:
    return {
        "crlId": found.list_id,
        "crlArn": found.arn,
        "name": found.name,
        "enabled": found.enabled,
        "crlData": found.data,
        "trustAnchorArn": rolesanywhere_arn(
            found.region, found.account, "trust-anchor", found.anchor_id
        ),
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


_NAMED = revocation_list("crlId")

LISTS = (
    change("ImportCrl", refusing(_import, *_UNSUPPORTED), everything),
    read("GetCrl", _get, _NAMED),
    read("ListCrls", _list, everything),
    change("UpdateCrl", refusing(_update, *_UNSUPPORTED), _NAMED),
    change("EnableCrl", _enable, _NAMED),
    change("DisableCrl", _disable, _NAMED),
    change("DeleteCrl", _delete, _NAMED),
)
