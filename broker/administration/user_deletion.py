"""Deleting a user together with everything that blocks ``DeleteUser``.

The page first lists what will be deleted. Each step is an IAM action of its own, with
its own permission; when one fails, the page says why and the rest is left unchanged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from broker.administration.bulk_deletion import BulkDeletion
from broker.administration.reading import list_all
from broker.administration.user import read_user
from broker.administration.users import HERE, USERS
from broker.console.visit import BOTH, POST, PageRoute, Visit
from broker.errors import NoSuchEntity, ValidationError

DELETE = "/console/users/delete"


@dataclass(frozen=True, slots=True)
class DeletionStep:
    """One thing to remove, and the action that removes it."""

    what: str
    action: str
    given: Mapping[str, Any]


async def _page(visit: Visit) -> Response:
    """``/console/users/delete``: GET asks for confirmation, POST deletes."""
    name = visit.form.require("name")
    user = await read_user(visit, name)
    steps = await _steps(visit, name)
    done: list[str] = []
    if visit.posted:
        with visit.attempt():
            if visit.text("sure") != user["UserName"]:
                raise ValidationError("Type the user's name to delete it.")
            for step in steps:
                await _take(visit, step)
                done.append(step.what)
            await visit.iam("DeleteUser", UserName=name)
            return visit.done(f"User {name} deleted.", USERS)
    return await visit.show(
        "admin/user_delete.html",
        user=user,
        done=done,
        steps=[step.what for step in steps[len(done) :]],
    )


async def _delete_user(visit: Visit, name: str) -> None:
    for step in await _steps(visit, name):
        await _take(visit, step)
    await visit.iam("DeleteUser", UserName=name)


async def _take(visit: Visit, step: DeletionStep) -> None:
    try:
        await visit.iam(step.action, **step.given)
    except NoSuchEntity:
        # Someone else removed it first.
        return


async def _steps(visit: Visit, name: str) -> list[DeletionStep]:
    """Everything that blocks ``DeleteUser``, in the order to remove it.

    Raises:
        BrokerError: Something may not be listed.
    """
    user = {"UserName": name}
    steps: list[DeletionStep] = []
    for what, action, parameter, (listing, member, key) in _KINDS:
        for one in await list_all(visit, listing, member, **user):
            value = one[key] if key else one
            steps.append(
                DeletionStep(
                    f"{what} {_short(value)}", action, {**user, parameter: value}
                )
            )
            if action == "DeactivateMFADevice" and ":mfa/" in value:
                steps.append(
                    DeletionStep(
                        f"Virtual device {_short(value)}",
                        "DeleteVirtualMFADevice",
                        {"SerialNumber": value},
                    )
                )
    answer = await visit.iam("ListServiceSpecificCredentials", **user)
    for one in answer["ServiceSpecificCredentials"]:
        value = one["ServiceSpecificCredentialId"]
        steps.append(
            DeletionStep(
                f"Credential for {one['ServiceName']} {value}",
                "DeleteServiceSpecificCredential",
                {**user, "ServiceSpecificCredentialId": value},
            )
        )
    try:
        await visit.iam("GetLoginProfile", **user)
        steps.append(DeletionStep("Console password", "DeleteLoginProfile", user))
    except NoSuchEntity:
        pass
    return steps


def _short(value: str) -> str:
    return value.rpartition("/")[2] if value.startswith("arn:") else value


_KINDS = (
    (
        "Access key",
        "DeleteAccessKey",
        "AccessKeyId",
        ("ListAccessKeys", "AccessKeyMetadata", "AccessKeyId"),
    ),
    (
        "MFA device",
        "DeactivateMFADevice",
        "SerialNumber",
        ("ListMFADevices", "MFADevices", "SerialNumber"),
    ),
    (
        "Signing certificate",
        "DeleteSigningCertificate",
        "CertificateId",
        ("ListSigningCertificates", "Certificates", "CertificateId"),
    ),
    (
        "SSH public key",
        "DeleteSSHPublicKey",
        "SSHPublicKeyId",
        ("ListSSHPublicKeys", "SSHPublicKeys", "SSHPublicKeyId"),
    ),
    (
        "Membership in the group",
        "RemoveUserFromGroup",
        "GroupName",
        ("ListGroupsForUser", "Groups", "GroupName"),
    ),
    (
        "Attached policy",
        "DetachUserPolicy",
        "PolicyArn",
        ("ListAttachedUserPolicies", "AttachedPolicies", "PolicyArn"),
    ),
    (
        "Inline policy",
        "DeleteUserPolicy",
        "PolicyName",
        ("ListUserPolicies", "PolicyNames", ""),
    ),
)
"""Per kind: its name, the action and parameter that remove it, and how to list it."""


_DELETION = BulkDeletion(
    "user",
    USERS,
    (
        (
            "Passwords, access keys, MFA devices, certificates and SSH keys of these users"
            " are deleted, and requests signed with them are refused at once."
        ),
        "Their inline policies are deleted; managed policies and groups stay.",
        "Their sessions end at once.",
        "This cannot be undone.",
    ),
    _delete_user,
)

PAGES = (
    PageRoute(DELETE, HERE, _page, BOTH),
    PageRoute(USERS, HERE, _DELETION.answer, POST),
)
