"""Deleting a user, group or role together with everything that blocks it.

A page first lists what will be deleted. Each step is an IAM action of its own, with its
own permission; when one fails, the page says why and the rest is left unchanged.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from starlette.responses import Response

from broker.administration.reading import list_all
from broker.console.visit import BOTH, PageRoute, Visit
from broker.errors import BrokerError, DeleteConflict, NoSuchEntity, ValidationError
from broker.model.machines import SERVICE_ROLE_PATH

_AT_ONCE = 200
"""Steps that one request takes, to bound its duration."""

_MEMBERS = "RemoveUserFromGroup"
_ARN = "PolicyArn"
_POLICIES = ("Attached policy {}", "The attachment of policy {}")

_Part = tuple[str, str, str, tuple[str, str, str]]
"""What blocks a deletion: its name, the action and parameter that remove it, its list."""

_PARTS: Mapping[str, Sequence[_Part]] = {
    "User": (
        (
            *("Access key {}", "DeleteAccessKey", "AccessKeyId"),
            ("ListAccessKeys", "AccessKeyMetadata", "AccessKeyId"),
        ),
        (
            *("MFA device {}", "DeactivateMFADevice", "SerialNumber"),
            ("ListMFADevices", "MFADevices", "SerialNumber"),
        ),
        (
            *("Signing certificate {}", "DeleteSigningCertificate", "CertificateId"),
            ("ListSigningCertificates", "Certificates", "CertificateId"),
        ),
        (
            *("SSH public key {}", "DeleteSSHPublicKey", "SSHPublicKeyId"),
            ("ListSSHPublicKeys", "SSHPublicKeys", "SSHPublicKeyId"),
        ),
        (
            *("Membership in the group {}", _MEMBERS, "GroupName"),
            ("ListGroupsForUser", "Groups", "GroupName"),
        ),
    ),
    "Group": (("{}", _MEMBERS, "UserName", ("GetGroup", "Users", "UserName")),),
    "Role": (
        (
            *("Profile {}", "RemoveRoleFromInstanceProfile", "InstanceProfileName"),
            ("ListInstanceProfilesForRole", "InstanceProfiles", "InstanceProfileName"),
        ),
    ),
}
"""By the kind of owner, in the order to remove them; its policies come after them."""


class DeletionStep(Struct, frozen=True):
    """One thing to remove, and the action that removes it."""

    what: str
    action: str
    given: Mapping[str, Any]


async def remove_user(visit: Visit, name: str) -> None:
    """Delete a user with everything that blocks it.

    Raises:
        BrokerError: A step failed; the steps before it stand.
    """
    await _remove(visit, "User", name, await _steps(visit, "User", name), [])


async def remove_group(visit: Visit, name: str) -> None:
    """Empty a group and delete it.

    Raises:
        BrokerError: A step failed; the steps before it stand.
    """
    await _remove(visit, "Group", name, await _steps(visit, "Group", name), [])


async def remove_role(visit: Visit, name: str) -> None:
    """Delete a role, after detaching it from policies and instance profiles.

    Raises:
        BrokerError: A step failed; the steps before it stand.
    """
    role = (await visit.iam("GetRole", RoleName=name))["Role"]
    if role["Path"].startswith(SERVICE_ROLE_PATH):
        await _remove_linked(visit, name)
    else:
        await _remove(visit, "Role", name, await _steps(visit, "Role", name), [])


async def _remove_linked(visit: Visit, name: str) -> None:
    """Delete a service's own role, which only one action can do."""
    task = await visit.iam("DeleteServiceLinkedRole", RoleName=name)
    status = await visit.iam(
        "GetServiceLinkedRoleDeletionStatus", DeletionTaskId=task["DeletionTaskId"]
    )
    if "Reason" in status:
        raise DeleteConflict(status["Reason"]["Reason"])


async def _remove(
    visit: Visit,
    noun: str,
    name: str,
    steps: Sequence[DeletionStep],
    done: list[DeletionStep],
) -> None:
    """Take the steps, noting those that are ``done``, and delete their owner."""
    for step in steps[:_AT_ONCE]:
        with suppress(NoSuchEntity):  # someone else removed it first
            await visit.iam(step.action, **step.given)
        done.append(step)
    if len(steps) > _AT_ONCE:
        raise ValidationError(
            f"{_AT_ONCE} parts were removed. Delete again to continue."
        )
    await visit.iam(f"Delete{noun}", **{f"{noun}Name": name})


async def _steps(visit: Visit, noun: str, name: str) -> list[DeletionStep]:
    """Everything that blocks a deletion, in the order to remove it.

    Raises:
        BrokerError: Something may not be listed.
    """
    owner = {f"{noun}Name": name}
    attached = (f"ListAttached{noun}Policies", "AttachedPolicies", _ARN)
    parts = (
        *_PARTS[noun],
        (_POLICIES[noun == "Group"], f"Detach{noun}Policy", _ARN, attached),
        (
            *("Inline policy {}", f"Delete{noun}Policy", "PolicyName"),
            (f"List{noun}Policies", "PolicyNames", ""),
        ),
    )
    steps: list[DeletionStep] = []
    for words, action, parameter, (listing, member, key) in parts:
        for entry in await list_all(visit, listing, member, **owner):
            value = entry[key] if key else entry
            view = value.rpartition("/")[2] if value.startswith("arn:") else value
            steps.append(
                DeletionStep(words.format(view), action, {**owner, parameter: value})
            )
            if action == "DeactivateMFADevice" and ":mfa/" in value:
                params = {"SerialNumber": value}
                what = f"Virtual device {view}"
                steps.append(DeletionStep(what, "DeleteVirtualMFADevice", params))
    if noun == "User":
        steps += await _other_credentials(visit, owner)
    return steps


async def _other_credentials(
    visit: Visit, owner: Mapping[str, str]
) -> list[DeletionStep]:
    answer = await visit.iam("ListServiceSpecificCredentials", **owner)
    steps = [
        DeletionStep(
            f"Credential for {credential['ServiceName']} {credential['ServiceSpecificCredentialId']}",
            "DeleteServiceSpecificCredential",
            {
                **owner,
                "ServiceSpecificCredentialId": credential[
                    "ServiceSpecificCredentialId"
                ],
            },
        )
        for credential in answer["ServiceSpecificCredentials"]
    ]
    with suppress(NoSuchEntity):
        await visit.iam("GetLoginProfile", **owner)
        steps.append(DeletionStep("Console password", "DeleteLoginProfile", owner))
    return steps


async def _page(visit: Visit, noun: str, end: str) -> Response:
    """GET asks for confirmation, POST deletes."""
    name = visit.form.require("name")
    few = 1 if noun == "Group" else None
    answer = await visit.iam(f"Get{noun}", **{f"{noun}Name": name}, MaxItems=few)
    stored = answer[noun][f"{noun}Name"]
    steps = await _steps(visit, noun, name)
    done: list[DeletionStep] = []
    kind = noun.lower()
    if visit.posted:
        with visit.attempt(_describe):
            if visit.text("sure") != stored:
                raise ValidationError(f"Type the {kind}'s name to delete it.")
            await _remove(visit, noun, name, steps, done)
            return visit.done(f"{noun} {name} deleted.", f"/console/{kind}s")
    left = steps[len(done) :]
    losing = _MEMBERS if noun == "Group" else ""
    return await visit.show(
        "admin/delete.html",
        kind=kind,
        name=stored,
        done=[step.what for step in done],
        losing=[step.what for step in left if step.action == losing],
        steps=[step.what for step in left if step.action != losing],
        end=end,
    )


def _describe(error: BrokerError) -> str:
    """Why something was not deleted; a conflict means that the page is out of date."""
    reload = " Reload this page." if isinstance(error, DeleteConflict) else ""
    return f"{error.words}{reload}"


async def _user(visit: Visit) -> Response:
    end = "The user's sessions end at once; audit records are kept."
    return await _page(visit, "User", end)


async def _group(visit: Visit) -> Response:
    return await _page(visit, "Group", "The users themselves are not deleted.")


PAGES = (
    PageRoute("/console/users/delete", "users", _user, BOTH),
    PageRoute("/console/groups/delete", "groups", _group, BOTH),
)
