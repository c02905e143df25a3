"""Trust anchors: certificate authorities whose certificates may open roles.

Source: IAM Roles Anywhere API reference and User Guide; botocore's model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from broker.errors import UnsupportedOperation, ValidationError, about
from broker.kinds.kind import Work
from broker.kinds.limits import Quota
from broker.kinds.roles_anywhere import Expiry, Regional, given_tags, new_id
from broker.model.roles_anywhere import TrustAnchor
from broker.protocols.x509 import CertificateRejected, parse_anchors
from broker.runtime.offload import offload_long
from broker.stores.directory.kinds import TRUST_ANCHOR

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types

BUNDLE = "CERTIFICATE_BUNDLE"


async def _make(given: types.CreateTrustAnchorRequest, work: Work) -> TrustAnchor:
    return TrustAnchor(
        account=work.account,
        anchor_id=new_id(),
        region=work.region,
        name=given["name"],
        certificates=await _certificates(given["source"]),
        enabled=given.get("enabled", False),
        created_at=work.now,
        updated_at=work.now,
        tags=given_tags(given.get("tags", ())),
    )


async def _change(
    found: TrustAnchor, given: types.UpdateTrustAnchorRequest, work: Work
) -> TrustAnchor:
    source = given.get("source")
    return replace(
        found,
        name=given.get("name", found.name),
        certificates=await _certificates(source) if source else found.certificates,
        updated_at=work.now,
    )


def _view(found: TrustAnchor) -> types.TrustAnchorDetail:
    return {
        "trustAnchorId": found.anchor_id,
        "trustAnchorArn": found.arn,
        "name": found.name,
        "source": {
            "sourceType": BUNDLE,
            "sourceData": {"x509CertificateData": found.certificates},
        },
        "enabled": found.enabled,
        "createdAt": found.created_at,
        "updatedAt": found.updated_at,
    }


async def _certificates(source: types.Source) -> str:
    if source.get("sourceType", BUNDLE) != BUNDLE:
        raise UnsupportedOperation(
            f"The source {source['sourceType']} is not supported, only {BUNDLE}."
        )
    with about("source.sourceData.x509CertificateData"):
        pem = source.get("sourceData", {}).get("x509CertificateData")
        if not pem:
            raise ValidationError("Give x509CertificateData.")
        await offload_long(len(pem), lambda: check_certificates(pem))
    return pem


def check_certificates(pem: str) -> None:
    """Judge the certificates of a trust anchor.

    Raises:
        ValidationError: one is none of a certificate authority, or proves too little.
    """
    try:
        parse_anchors(pem)
    except CertificateRejected as error:
        raise ValidationError(error.message, detail=error.detail) from error


def anchor_expiries(certificates: str) -> tuple[Expiry, ...]:
    """When each certificate of a trust anchor ends."""
    return tuple(
        Expiry(one.subject.rfc4514_string(), one.not_valid_after_utc)
        for one in parse_anchors(certificates).certificates
    )


TRUST_ANCHORS = Regional(
    kind=TRUST_ANCHOR,
    quota=Quota.TRUST_ANCHORS,
    make=_make,
    change=_change,
    view=_view,
    resource="trust-anchor",
    member="trustAnchor",
    operations=(
        "CreateTrustAnchor",
        "GetTrustAnchor",
        "ListTrustAnchors",
        "UpdateTrustAnchor",
        "EnableTrustAnchor",
        "DisableTrustAnchor",
        "DeleteTrustAnchor",
    ),
    refused=("aliasName", "crlDpRevocationEnabled", "notificationSettings"),
)
