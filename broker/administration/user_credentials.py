"""A user's credentials: access keys, password and MFA devices."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from broker.administration.buttons import Button, Buttons, typed
from broker.administration.reading import OLD_DAYS, PageReader, days_since
from broker.administration.users import (
    SECTION,
    read_minimum_length,
    read_user,
)
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import NoSuchEntity
from broker.kinds.passwords import new_password

CREDENTIALS = "/console/users/credentials"
_KEYS_MAX = 2

_OTHERS = (
    ("ListSigningCertificates", "Certificates", "signing certificates"),
    ("ListSSHPublicKeys", "SSHPublicKeys", "SSH public keys"),
)
_SERVICE = ("ListServiceSpecificCredentials", "ServiceSpecificCredentials")
_KEY = typed("key")


class AccessKeyView(Struct, frozen=True):
    """An access key, its age in days, and its last use."""

    key: Mapping[str, Any]
    days: int
    used: Mapping[str, Any] | None


class NewSecret(Struct, frozen=True):
    """A new secret to show once; ``parts`` are element id, label and text."""

    title: str
    parts: tuple[tuple[str, str, str], ...]


async def _page(visit: Visit) -> Response:
    name = visit.form.require("name")
    if isinstance(secret := await _BUTTONS.press(visit, name), Response):
        return secret
    user = await read_user(visit, name)
    reader = PageReader(visit)
    profile = await reader.iam("GetLoginProfile", UserName=name)
    return await visit.show(
        "admin/user_credentials.html",
        user=user,
        secret=secret,
        keys=await _keys(visit, reader, name),
        keys_max=_KEYS_MAX,
        old_days=OLD_DAYS,
        profile=profile and profile["LoginProfile"],
        devices=await reader.list_all("ListMFADevices", "MFADevices", UserName=name),
        others=await _others(reader, name),
        refused=list(dict.fromkeys(reader.refused)),
    )


async def _keys(visit: Visit, reader: PageReader, name: str) -> list[AccessKeyView]:
    views = []
    for key in await reader.list_all(
        "ListAccessKeys", "AccessKeyMetadata", UserName=name
    ):
        used = await reader.iam("GetAccessKeyLastUsed", AccessKeyId=key["AccessKeyId"])
        views.append(
            AccessKeyView(
                key,
                days_since(key["CreateDate"], visit.now),
                used and used["AccessKeyLastUsed"],
            )
        )
    return views


async def _others(reader: PageReader, name: str) -> list[tuple[str, int]]:
    counts = [
        (noun, len(await reader.list_all(action, member, UserName=name)))
        for action, member, noun in _OTHERS
    ]
    results = await reader.iam(_SERVICE[0], UserName=name)
    counts.append(
        ("service-specific credentials", len((results or {}).get(_SERVICE[1], ())))
    )
    return [(noun, count) for noun, count in counts if count]


async def _make_key(visit: Visit, name: str) -> NewSecret:
    key = (await visit.iam("CreateAccessKey", UserName=name))["AccessKey"]
    return NewSecret(
        "The new access key",
        (
            ("access-key-id", "Access key ID", key["AccessKeyId"]),
            ("secret-access-key", "Secret access key", key["SecretAccessKey"]),
        ),
    )


async def _set_password(visit: Visit, name: str) -> NewSecret | None:
    chosen = visit.form.find("password") or ""
    password = chosen or new_password(await read_minimum_length(visit))
    params = {
        "UserName": name,
        "Password": password,
        "PasswordResetRequired": visit.is_checked("reset"),
    }
    try:
        await visit.iam("GetLoginProfile", UserName=name)
    except NoSuchEntity:
        await visit.iam("CreateLoginProfile", **params)
    else:
        await visit.iam("UpdateLoginProfile", **params)
    if chosen:
        return None
    return NewSecret("The new password", (("password", "Password", password),))


async def _remove_device(visit: Visit, name: str) -> None:
    """Unassign a device from its user; a virtual device is deleted as well.

    Raises:
        BrokerError: One of the two actions failed.
    """
    serial = visit.text("device")
    await visit.iam("DeactivateMFADevice", UserName=name, SerialNumber=serial)
    if ":mfa/" in serial:
        await visit.iam("DeleteVirtualMFADevice", SerialNumber=serial)


_BUTTONS = Buttons(
    path=CREDENTIALS,
    member="UserName",
    known={
        "make-key": _make_key,
        "stop-key": Button(
            "UpdateAccessKey", {"AccessKeyId": _KEY, "Status": lambda _: "Inactive"}
        ),
        "start-key": Button(
            "UpdateAccessKey", {"AccessKeyId": _KEY, "Status": lambda _: "Active"}
        ),
        "delete-key": Button("DeleteAccessKey", {"AccessKeyId": _KEY}),
        "set-password": _set_password,
        "delete-password": Button("DeleteLoginProfile"),
        "remove-device": _remove_device,
    },
)

PAGES = (PageRoute(CREDENTIALS, SECTION, _page, BOTH),)
