"""*Roles Anywhere*: trust anchors with their revocation lists, and profiles."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from broker.administration.buttons import Button, Buttons, Value, kept, typed
from broker.administration.listing import PagePart, read_part
from broker.console.visit import BOTH, GET, PageRoute, Visit
from broker.errors import ValidationError
from broker.kinds.roles_anywhere import (
    DURATION_SECONDS,
    Expiry,
    anchor_expiries,
    list_expiries,
)

SERVICE = "rolesanywhere"
SECTION = "roles-anywhere"
LIST = "/console/roles-anywhere"
ANCHOR = "/console/roles-anywhere/anchor"
NEW_ANCHOR = "/console/roles-anywhere/new-anchor"
PROFILE = "/console/roles-anywhere/profile"
NEW_PROFILE = "/console/roles-anywhere/new-profile"

_PAGES_MAX = 10
_PAGE_SIZE = 100
_DIGITS_MAX = 5
_TYPED_MAX = 100_000
_FIELDS = (
    "name",
    "certificates",
    "crl",
    "replace",
    "roles",
    "policies",
    "policy",
    "duration",
)
_BUNDLE = "CERTIFICATE_BUNDLE"


class AnchorRow(Struct, frozen=True):
    """A trust anchor, and when each of its certificates ends."""

    view: Mapping[str, Any]
    expiries: Sequence[Expiry]


class ListRow(Struct, frozen=True):
    """A revocation list, when the next one is due, and how many it revokes."""

    view: Mapping[str, Any]
    expiry: Expiry


async def _list(visit: Visit) -> Response:
    anchors = await _read_all(visit, "ListTrustAnchors", "trustAnchors")
    return await visit.show(
        "admin/roles_anywhere.html",
        anchors=anchors,
        rows=[_anchor_row(anchor) for anchor in anchors.get("trustAnchors")],
        profiles=await _read_all(visit, "ListProfiles", "profiles"),
        region=visit.region,
        now=visit.now,
    )


async def _new_anchor(visit: Visit) -> Response:
    if visit.posted:
        with visit.attempt():
            made = await visit.perform(
                SERVICE,
                "CreateTrustAnchor",
                name=_name(visit),
                source=_source(visit),
                enabled=visit.is_checked("enabled"),
            )
            return visit.done(
                "Trust anchor created.", ANCHOR, id=made["trustAnchor"]["trustAnchorId"]
            )
    return await visit.show("admin/trust_anchor_new.html", values=_typed(visit))


async def _anchor(visit: Visit) -> Response:
    identifier = visit.form.require("id")[:64]
    if isinstance(done := await _ANCHOR_BUTTONS.press(visit, identifier), Response):
        return done
    answer = await visit.perform(SERVICE, "GetTrustAnchor", trustAnchorId=identifier)
    view = answer["trustAnchor"]
    lists = await _read_all(visit, "ListCrls", "crls")
    return await visit.show(
        "admin/trust_anchor.html",
        anchor=view,
        expiries=_anchor_row(view).expiries,
        lists=lists,
        rows=[
            ListRow(crl, expiry)
            for crl in lists.get("crls")
            if crl["trustAnchorArn"] == view["trustAnchorArn"]
            for expiry in list_expiries(crl["crlData"])
        ],
        now=visit.now,
        values=_typed(visit),
    )


async def _import_list(visit: Visit, identifier: str) -> Response:
    text, replaced = visit.form.require("crl").strip(), visit.text("replace")
    data = base64.b64encode(text.encode()).decode()
    if replaced:
        await visit.perform(SERVICE, "UpdateCrl", crlId=replaced, crlData=data)
    else:
        answer = await visit.perform(
            SERVICE, "GetTrustAnchor", trustAnchorId=identifier
        )
        await visit.perform(
            SERVICE,
            "ImportCrl",
            name=_name(visit),
            crlData=data,
            enabled=True,
            trustAnchorArn=answer["trustAnchor"]["trustAnchorArn"],
        )
    return visit.done("Revocation list imported.", ANCHOR, id=identifier)


async def _new_profile(visit: Visit) -> Response:
    if visit.posted:
        with visit.attempt():
            made = await visit.perform(
                SERVICE,
                "CreateProfile",
                enabled=visit.is_checked("enabled"),
                **{name: read(visit) for name, read in _PROFILE_MEMBERS.items()},
            )
            return visit.done(
                "Profile created.", PROFILE, id=made["profile"]["profileId"]
            )
    return await visit.show(
        "admin/certificate_profile_new.html",
        values={
            **_typed(visit),
            "duration": visit.text("duration")[:20] or str(DURATION_SECONDS),
        },
        accepts_name=visit.is_checked("accepts_name"),
    )


async def _profile(visit: Visit) -> Response:
    identifier = visit.form.require("id")[:64]
    if isinstance(done := await _PROFILE_BUTTONS.press(visit, identifier), Response):
        return done
    answer = await visit.perform(SERVICE, "GetProfile", profileId=identifier)
    view = answer["profile"]
    details = {
        "name": view["name"],
        "roles": "\n".join(view["roleArns"]),
        "policies": "\n".join(view["managedPolicyArns"]),
        "policy": view.get("sessionPolicy", ""),
        "duration": str(view["durationSeconds"]),
    }
    return await visit.show(
        "admin/certificate_profile.html",
        profile=view,
        values={**details, **_typed(visit)} if visit.refusal is not None else details,
        accepts_name=(
            visit.is_checked("accepts_name")
            if visit.refusal is not None
            else view["acceptRoleSessionName"]
        ),
    )


def _typed(visit: Visit) -> dict[str, str]:
    return kept(visit, *_FIELDS, most=_TYPED_MAX)


def _source(visit: Visit) -> Mapping[str, Any]:
    pem = visit.form.require("certificates").strip()
    return {"sourceType": _BUNDLE, "sourceData": {"x509CertificateData": pem}}


def _name(visit: Visit) -> str:
    return visit.form.require("name").strip()


def _duration(visit: Visit) -> int:
    duration = visit.text("duration")
    if not (duration.isascii() and duration.isdigit() and len(duration) <= _DIGITS_MAX):
        raise ValidationError("Give the duration in seconds, 900 to 43200.")
    return int(duration)


_PROFILE_MEMBERS: Mapping[str, Value] = {
    "durationSeconds": _duration,
    "name": _name,
    "roleArns": typed("roles", str.split),
    "managedPolicyArns": typed("policies", str.split),
    "sessionPolicy": typed("policy", lambda text: text or None),
    "acceptRoleSessionName": lambda visit: visit.is_checked("accepts_name"),
}


async def _read_all(visit: Visit, action: str, member: str) -> PagePart:
    """A whole list, which the account's quotas bound; or why it is refused."""
    results: list[Mapping[str, Any]] = []
    token: str | None = None
    for _ in range(_PAGES_MAX):
        part = await read_part(
            visit, action, service=SERVICE, pageSize=_PAGE_SIZE, nextToken=token
        )
        if part.found is None:
            return part
        results += part.get(member)
        token = part.found.get("nextToken")
        if token is None:
            break
    return PagePart({member: results})


def _anchor_row(view: Mapping[str, Any]) -> AnchorRow:
    pem = view["source"]["sourceData"]["x509CertificateData"]
    return AnchorRow(view, anchor_expiries(pem))


_ANCHOR_BUTTONS = Buttons(
    path=ANCHOR,
    query="id",
    member="trustAnchorId",
    service=SERVICE,
    known={
        "save": Button(
            "UpdateTrustAnchor",
            {"name": _name, "source": _source},
            "Trust anchor saved.",
        ),
        "enable": Button("EnableTrustAnchor", done="Trust anchor enabled."),
        "disable": Button("DisableTrustAnchor", done="Trust anchor disabled."),
        "delete": Button(
            "DeleteTrustAnchor",
            done="Trust anchor deleted; its sessions have ended.",
            to=LIST,
        ),
        "import": _import_list,
        **{
            f"{verb}-list": Button(
                f"{verb.capitalize()}Crl",
                {"crlId": lambda visit: visit.form.require("crl")},
                f"Revocation list {verb}d.",
                named=False,
            )
            for verb in ("enable", "disable", "delete")
        },
    },
)
_PROFILE_BUTTONS = Buttons(
    path=PROFILE,
    query="id",
    member="profileId",
    service=SERVICE,
    known={
        "save": Button("UpdateProfile", _PROFILE_MEMBERS, "Profile saved."),
        "enable": Button("EnableProfile", done="Profile enabled."),
        "disable": Button("DisableProfile", done="Profile disabled."),
        "delete": Button("DeleteProfile", done="Profile deleted.", to=LIST),
    },
)

PAGES = (
    PageRoute(LIST, SECTION, _list, GET),
    PageRoute(NEW_ANCHOR, SECTION, _new_anchor, BOTH),
    PageRoute(ANCHOR, SECTION, _anchor, BOTH),
    PageRoute(NEW_PROFILE, SECTION, _new_profile, BOTH),
    PageRoute(PROFILE, SECTION, _profile, BOTH),
)
