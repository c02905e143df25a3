"""Managed policies on roles, users and groups: attached, or as a boundary."""

from broker.actions.action import Action, Call
from broker.actions.iam import targets as on
from broker.actions.iam.declare import change, read
from broker.actions.iam.owners import (
    BOUNDED,
    OWNERS,
    Answer,
    OwnerOperations,
    set_boundary,
)
from broker.actions.iam.paging import cut, page_request, truncation
from broker.identities import attachments
from broker.identities.accounts import require_account
from broker.identities.names import parse_policy_arn
from broker.identities.owners import owner_id
from broker.model.request import Given
from broker.stores.directory.policies import list_attachments


def _operations(kind: OwnerOperations) -> tuple[Action, ...]:
    async def attach(given: Given, call: Call) -> None:
        await attachments.attach_policy(
            call.change,
            await require_account(call.change, call.account),
            await kind.changing(given, call),
            given["PolicyArn"],
        )

    async def detach(given: Given, call: Call) -> None:
        owner = await kind.changing(given, call)
        await attachments.detach_policy(call.change, owner, given["PolicyArn"])

    async def list_attached(given: Given, call: Call) -> Answer:
        owner = await kind.read(given, call)
        prefix = given.get("PathPrefix", "/")
        arns = await list_attachments(call.directory, owner.account, owner_id(owner))
        attached = [(parse_policy_arn(arn), arn) for arn in arns]
        page = cut(
            [(p, arn) for p, arn in attached if p.path.startswith(prefix)],
            # An AWS-managed policy may have the name of one of the account's own.
            lambda item: f"{item[0].name.lower()}/{item[1]}",
            page_request(given),
        )
        return {
            "AttachedPolicies": [
                {"PolicyName": p.name, "PolicyArn": arn} for p, arn in page.items
            ],
            **truncation(page),
        }

    noun, held = kind.noun, kind.held
    return (
        change(f"Attach{noun}Policy", attach, kind.target, on.policy_arn, *held),
        change(f"Detach{noun}Policy", detach, kind.target, on.policy_arn, *held),
        read(f"ListAttached{noun}Policies", list_attached, kind.target),
    )


def _boundary_operations(kind: OwnerOperations) -> tuple[Action, ...]:
    async def put_boundary(given: Given, call: Call) -> None:
        owner = await kind.changing(given, call)
        arn = await attachments.checked_boundary(
            call.change, call.account, given["PermissionsBoundary"]
        )
        await set_boundary(call.change, owner, arn)

    async def delete_boundary(given: Given, call: Call) -> None:
        owner = await kind.changing(given, call)
        await set_boundary(call.change, owner, None)

    noun = kind.noun
    return (
        change(
            f"Put{noun}PermissionsBoundary",
            put_boundary,
            kind.target,
            on.boundary_asked,
        ),
        change(
            f"Delete{noun}PermissionsBoundary",
            delete_boundary,
            kind.target,
            on.boundary_held,
        ),
    )


ATTACHMENTS = (
    *(action for kind in OWNERS for action in _operations(kind)),
    *(action for kind in BOUNDED for action in _boundary_operations(kind)),
)
