"""Tags of trust anchors, profiles and revocation lists, by their ARN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from broker.actions.action import Call
from broker.actions.roles_anywhere.declare import (
    On,
    anchor,
    change,
    given_tags,
    profile,
    read,
    revocation_list,
)
from broker.authz.context import tag_context
from broker.errors import NoSuchEntity
from broker.identities import roles_anywhere as rules
from broker.identities.tags import KeyCase, tag_pairs, with_tags, without_tags
from broker.model.request import Given
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
)
from broker.stores.directory.kinds import (
    CERTIFICATE_LIST,
    CERTIFICATE_PROFILE,
    TRUST_ANCHOR,
)

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types

_MEMBER = "resourceArn"
_TARGETS = {
    "trust-anchor": anchor(_MEMBER),
    "profile": profile(_MEMBER),
    "crl": revocation_list(_MEMBER),
}


async def _resource(given: Given, call: Call) -> On:
    target = _TARGETS.get(_kind(given[_MEMBER]))
    found = On(given[_MEMBER]) if target is None else await target(given, call)
    tags = given_tags(given)
    keys = tuple(tags) or tuple(given.get("tagKeys", ()))
    context = {**found.context, **tag_context("aws:requesttag", tags)}
    if keys:
        context["aws:tagkeys"] = keys
    return On(found.arn, context)


async def _list(
    given: types.ListTagsForResourceRequest, call: Call
) -> types.ListTagsForResourceResponse:
    found = await _require(given["resourceArn"], call)
    return {
        "tags": [{"key": key, "value": value} for key, value in tag_pairs(found.tags)]
    }


async def _tag(given: types.TagResourceRequest, call: Call) -> None:
    found = await _require(given["resourceArn"], call)
    new = given_tags(given)
    await _write(found, with_tags(found.tags, new, KeyCase.SENSITIVE), call)


async def _untag(given: types.UntagResourceRequest, call: Call) -> None:
    found = await _require(given["resourceArn"], call)
    kept = without_tags(found.tags, given["tagKeys"], KeyCase.SENSITIVE)
    await _write(found, kept, call)


async def _require(
    arn: str, call: Call
) -> TrustAnchor | CertificateProfile | CertificateList:
    at = (call.directory, call.account, call.region)
    match _kind(arn):
        case "trust-anchor":
            return await rules.require_anchor(*at, arn)
        case "profile":
            return await rules.require_profile(*at, arn)
        case "crl":
            return await rules.require_list(*at, arn)
    raise NoSuchEntity(f"Resource {arn} not found")


async def _write(
    found: TrustAnchor | CertificateProfile | CertificateList,
    tags: Mapping[str, str],
    call: Call,
) -> None:
    if isinstance(found, TrustAnchor):
        await call.change.update(TRUST_ANCHOR, replace(found, tags=tags))
    elif isinstance(found, CertificateProfile):
        await call.change.update(CERTIFICATE_PROFILE, replace(found, tags=tags))
    else:
        await call.change.update(CERTIFICATE_LIST, replace(found, tags=tags))


def _kind(arn: str) -> str:
    return arn.rpartition(":")[2].partition("/")[0]


TAGS = (
    read("ListTagsForResource", _list, _resource),
    change("TagResource", _tag, _resource),
    change("UntagResource", _untag, _resource),
)
