"""Certificate revocation lists of trust anchors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.errors import ValidationError, about
from broker.kinds.kind import Work
from broker.kinds.limits import Quota
from broker.kinds.roles_anywhere import (
    Expiry,
    Regional,
    given_tags,
    new_id,
    require_regional,
)
from broker.kinds.trust_anchors import TRUST_ANCHORS
from broker.model.roles_anywhere import CertificateList, TrustAnchor, rolesanywhere_arn
from broker.protocols.x509 import (
    CertificateRejected,
    parse_anchors,
    parse_revocation_lists,
)
from broker.runtime.offload import offload_long
from broker.stores.directory.kinds import CERTIFICATE_LIST

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types


async def _make(given: types.ImportCrlRequest, work: Work) -> CertificateList:
    anchor = await _checked(given["crlData"], given["trustAnchorArn"], work)
    return CertificateList(
        account=work.account,
        list_id=new_id(),
        anchor_id=anchor.anchor_id,
        region=work.region,
        name=given["name"],
        data=given["crlData"],
        enabled=given.get("enabled", False),
        created_at=work.now,
        updated_at=work.now,
        tags=given_tags(given.get("tags", ())),
    )


async def _change(
    found: CertificateList, given: types.UpdateCrlRequest, work: Work
) -> CertificateList:
    data = given.get("crlData")
    if data is not None:
        await _checked(data, found.anchor_id, work)
    return replace(
        found,
        name=given.get("name", found.name),
        data=found.data if data is None else data,
        updated_at=work.now,
    )


def _view(found: CertificateList) -> types.CrlDetail:
    return {
        "crlId": found.list_id,
        "crlArn": found.arn,
        "name": found.name,
        "enabled": found.enabled,
        "crlData": found.data,
        "trustAnchorArn": rolesanywhere_arn(
            found.region, found.account, TRUST_ANCHORS.resource, found.anchor_id
        ),
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


async def _checked(data: bytes, named: str, work: Work) -> TrustAnchor:
    """The anchor of lists: one by its own certificate must be signed by it."""
    anchor: TrustAnchor = await require_regional(
        TRUST_ANCHORS, work.change, work.account, work.region, named
    )
    with about("crlData"):
        await offload_long(len(data), lambda: _check(data, anchor))
    return anchor


def _check(data: bytes, anchor: TrustAnchor) -> None:
    try:
        lists = parse_revocation_lists(data)
        anchors = parse_anchors(anchor.certificates).certificates
    except CertificateRejected as error:
        raise ValidationError(error.message, detail=error.detail) from error
    for found in lists:
        named = [one for one in anchors if one.subject == found.issuer]
        if named and not any(map(found.is_signed_by, named)):
            raise ValidationError(
                "The revocation list is not signed with the trust anchor's certificate."
            )


def list_expiries(data: bytes) -> tuple[Expiry, ...]:
    """When the list after each of these revocation lists is due."""
    return tuple(
        Expiry(one.issuer.rfc4514_string(), one.expires_at, revoked=len(one.serials))
        for one in parse_revocation_lists(data)
    )


REVOCATION_LISTS = Regional(
    kind=CERTIFICATE_LIST,
    quota=Quota.CERTIFICATE_LISTS,
    counted_by=("anchor_id",),
    make=_make,
    change=_change,
    view=_view,
    resource="crl",
    member="crl",
    operations=(
        "ImportCrl",
        "GetCrl",
        "ListCrls",
        "UpdateCrl",
        "EnableCrl",
        "DisableCrl",
        "DeleteCrl",
    ),
    refused=("aliasName",),
)
