"""Trust anchors: create, get, list, update, enable, disable, delete."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.roles_anywhere.declare import (
    anchor,
    change,
    everything,
    given_tags,
    list_page,
    read,
    refusing,
)
from broker.errors import UnsupportedOperation, ValidationError
from broker.identities import roles_anywhere as rules
from broker.identities.accounts import require_account
from broker.model.roles_anywhere import TrustAnchor
from broker.offload import offload_long
from broker.stores.directory.kinds import TRUST_ANCHOR

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types

_BUNDLE = "CERTIFICATE_BUNDLE"
_UNSUPPORTED = ("aliasName", "crlDpRevocationEnabled", "notificationSettings")


async def _create(
    given: types.CreateTrustAnchorRequest, call: Call
) -> types.TrustAnchorDetailResponse:
    created = await rules.create_anchor(
        call.change,
        await require_account(call.change, call.account),
        region=call.region,
        name=given["name"],
        certificates=await _certificates(given["source"]),
        enabled=given.get("enabled", False),
        tags=given_tags(given),
        now=call.now,
    )
    return {"trustAnchor": _view(created)}


async def _get(
    given: types.ScalarTrustAnchorRequest, call: Call
) -> types.TrustAnchorDetailResponse:
    return {"trustAnchor": _view(await _require(given["trustAnchorId"], call))}


async def _list(given: types.ListRequest, call: Call) -> types.ListTrustAnchorsResponse:
    anchors = [
        one
        for one in await call.directory.all_of(TRUST_ANCHOR, call.account)
        if one.region == call.region
    ]
    shown, token = list_page(given, anchors, lambda one: one.anchor_id)
    return {"trustAnchors": [_view(one) for one in shown], **token}  # type: ignore[typeddict-item]


async def _update(
    given: types.UpdateTrustAnchorRequest, call: Call
) -> types.TrustAnchorDetailResponse:
    found = await _require(given["trustAnchorId"], call)
    source = given.get("source")
    updated = replace(
        found,
        name=given.get("name", found.name),
        certificates=await _certificates(source) if source else found.certificates,
        updated_at=call.now,
    )
    await call.change.update(TRUST_ANCHOR, updated)
    return {"trustAnchor": _view(updated)}


async def _enable(
    given: types.ScalarTrustAnchorRequest, call: Call
) -> types.TrustAnchorDetailResponse:
    return await _set_enabled(given, call, enabled=True)


async def _disable(
    given: types.ScalarTrustAnchorRequest, call: Call
) -> types.TrustAnchorDetailResponse:
    return await _set_enabled(given, call, enabled=False)


async def _set_enabled(
    given: types.ScalarTrustAnchorRequest, call: Call, *, enabled: bool
) -> types.TrustAnchorDetailResponse:
    found = await _require(given["trustAnchorId"], call)
    updated = replace(found, enabled=enabled, updated_at=call.now)
    await call.change.update(TRUST_ANCHOR, updated)
    return {"trustAnchor": _view(updated)}


async def _delete(
    given: types.ScalarTrustAnchorRequest, call: Call
) -> types.TrustAnchorDetailResponse:
    found = await _require(given["trustAnchorId"], call)
    await call.change.remove(TRUST_ANCHOR, found)
    return {"trustAnchor": _view(found)}


async def _require(identifier: str, call: Call) -> TrustAnchor:
    return await rules.require_anchor(
        call.directory, call.account, call.region, identifier
    )


async def _certificates(source: types.Source) -> str:
    if source.get("sourceType", _BUNDLE) != _BUNDLE:
        raise UnsupportedOperation(
            f"The source {source['sourceType']} is not supported, only {_BUNDLE}."
        )
    pem = source.get("sourceData", {}).get("x509CertificateData")
    if not pem:
        raise ValidationError("Give x509CertificateData.")
    await offload_long(len(pem), lambda: rules.check_certificates(pem))
    return pem


def _view(found: TrustAnchor) -> types.TrustAnchorDetail:
    return {
        "trustAnchorId": found.anchor_id,
        "trustAnchorArn": found.arn,
        "name": found.name,
        "source": {
            "sourceType": _BUNDLE,
            "sourceData": {"x509CertificateData": found.certificates},
        },
        "enabled": found.enabled,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


_NAMED = anchor("trustAnchorId")

TRUST_ANCHORS = (
    change("CreateTrustAnchor", refusing(_create, *_UNSUPPORTED), everything),
    read("GetTrustAnchor", _get, _NAMED),
    read("ListTrustAnchors", _list, everything),
    change("UpdateTrustAnchor", refusing(_update, *_UNSUPPORTED), _NAMED),
    change("EnableTrustAnchor", _enable, _NAMED),
    change("DisableTrustAnchor", _disable, _NAMED),
    change("DeleteTrustAnchor", _delete, _NAMED),
)
