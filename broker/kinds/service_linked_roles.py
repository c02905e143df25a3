"""Service-linked roles: predefined, assumed by their service alone, deleted by a task.

``service_linked_roles.json`` has the name of each service's role and of its policy, and
the description where it is known.

Source: IAM User Guide, "Create a service-linked role"; names and policies as recorded
from AWS in localstack/localstack, tests/aws/services/iam/test_iam.snapshot.json (March
2025), others from the services' own guides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files

from msgspec import Struct

from broker.errors import (
    InvalidInput,
    NoSuchEntity,
    UnmodifiableEntity,
)
from broker.kinds.limits import Quota
from broker.kinds.managed_policies import SERVICE_ROLE_POLICIES
from broker.kinds.rules import require_room
from broker.model.account import Account, AccountId
from broker.model.entities import Role
from broker.model.machines import SERVICE_ROLE_PATH, DeletionTask
from broker.runtime.entropy import new_request_id, new_unique_id
from broker.stores.directory.kinds import DELETION_TASK, ROLE
from broker.stores.directory.policies import (
    attach_policy,
    detach_policy,
    list_attachments,
)
from broker.stores.directory.port import DirectoryChange, DirectoryReader
from broker.stores.directory.reports import list_uses
from broker.stores.errors import AlreadyExistsError

_DOMAIN = ".amazonaws.com"
_TASK_ID = re.compile(rf"task{SERVICE_ROLE_PATH}[^/]+/[^/]+/[^/]+")

_WITH_SUFFIX = frozenset(
    {"autoscaling", "channels.lexv2", "cloud9", "connect", "lexv2"}
)

_IN_USE = (
    "The role was used so lately that one of its sessions may still be alive."
    " Remove what uses it, wait, and try again."
)
SUCCEEDED = "SUCCEEDED"
FAILED = "FAILED"


class LinkedService(Struct, frozen=True):
    """A service's role: its name (after ``AWSServiceRoleFor``) and its policy.

    ``description`` is what the role is described as if its maker does not say.
    """

    role: str
    policy: str
    description: str | None = None

    @property
    def policy_arn(self) -> str:
        """The ARN of the AWS-managed policy that the role has."""
        return SERVICE_ROLE_POLICIES + self.policy


@cache
def linked_services() -> Mapping[str, LinkedService]:
    """Keyed by service principal, without the domain."""
    path = files("broker.kinds").joinpath("service_linked_roles.json")
    rows = json.loads(path.read_text(encoding="utf-8"))
    return {key: LinkedService(*row) for key, row in rows.items()}


def is_service_linked(role: Role) -> bool:
    """Whether a role belongs to a service."""
    return role.path.startswith(SERVICE_ROLE_PATH)


def require_modifiable(role: Role) -> None:
    """Refuse to change a role that belongs to a service.

    Raises:
        UnmodifiableEntity: it does.
    """
    if is_service_linked(role):
        raise UnmodifiableEntity(
            f"Cannot perform the operation on the protected role '{role.name}' - this"
            " role is only modifiable by AWS"
        )


def require_linked_service(service: str, suffix: str | None) -> LinkedService:
    """What is known of a service's own role.

    Raises:
        InvalidInput: the service has none, or none with a suffix.
    """
    key = service.removesuffix(_DOMAIN)
    linked_service = linked_services().get(key)
    if linked_service is None or key == service:
        raise InvalidInput(f"{service} is not a service with a service-linked role.")
    if suffix is not None and key not in _WITH_SUFFIX:
        raise InvalidInput(f"Custom suffix is not allowed for {service}")
    return linked_service


def linked_role_name(service: LinkedService, suffix: str | None) -> str:
    """The name of a service's own role."""
    tail = "" if suffix is None else f"_{suffix}"
    return f"AWSServiceRoleFor{service.role}{tail}"


async def create_linked_role(
    change: DirectoryChange,
    account: Account,
    *,
    service: str,
    suffix: str | None,
    description: str | None,
    now: datetime,
) -> Role:
    """Create a service-linked role with its policy.

    Raises:
        InvalidInput: the service has none, or its name is taken.
        LimitExceeded: the account has too many roles.
    """
    linked = require_linked_service(service, suffix)
    name = linked_role_name(linked, suffix)
    await require_room(change, account, ROLE, Quota.ROLES)
    role = Role(
        account=account.account_id,
        role_id=new_unique_id("AROA"),
        name=name,
        path=f"{SERVICE_ROLE_PATH}{service}/",
        trust_policy=_trust(service),
        created_at=now,
        description=description or linked.description,
    )
    try:
        await change.insert(ROLE, role)
    except AlreadyExistsError as error:
        raise InvalidInput(
            f"Service role name {name} has been taken in this account, please try a"
            " different suffix."
        ) from error
    await attach_policy(change, account.account_id, role.role_id, linked.policy_arn)
    return role


async def delete_linked_role(
    change: DirectoryChange, role: Role, *, now: datetime
) -> DeletionTask:
    """Delete a service-linked role unless it is in use, and record the outcome.

    Raises:
        NoSuchEntity: no service has such a role.
    """
    if not is_service_linked(role):
        raise NoSuchEntity(
            f"The service-linked role with name {role.name} cannot be found."
        )
    usage = await usage_of(change, role, now=now)
    task = DeletionTask(
        account=role.account,
        task_id=f"task{role.path}{role.name}/{new_request_id()}",
        status=FAILED if usage else SUCCEEDED,
        made_at=now,
        reason=_IN_USE if usage else "",
    )
    if not usage:
        for arn in await list_attachments(change, role.account, role.role_id):
            await detach_policy(change, role.account, role.role_id, arn)
        await change.remove(ROLE, role)
    await change.insert(DELETION_TASK, task)
    return task


async def usage_of(
    directory: DirectoryReader, role: Role, *, now: datetime
) -> frozenset[str]:
    """The regions where the role was used so recently that a session may be alive."""
    longest = timedelta(seconds=role.max_session_duration_seconds)
    return frozenset(
        use.region
        for use in await list_uses(directory, role.account, [role.role_id])
        if use.at > now - longest
    )


async def require_deletion_task(
    directory: DirectoryReader, account: AccountId, task_id: str
) -> DeletionTask:
    """How a deletion went.

    Raises:
        InvalidInput: no task has such an id.
        NoSuchEntity: there was none.
    """
    if not _TASK_ID.fullmatch(task_id):
        raise InvalidInput("Invalid task id")
    task = await directory.find(DELETION_TASK, account, task_id)
    if task is None:
        raise NoSuchEntity(f"The deletion task {task_id} cannot be found.")
    return task


def _trust(service: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": service},
                    "Action": "sts:AssumeRole",
                }
            ],
        },
        separators=(",", ":"),
    )
