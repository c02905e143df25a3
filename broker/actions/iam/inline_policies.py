"""Inline policies of roles, users and groups: put, get, list, delete."""

from broker.actions.action import Action, Call
from broker.actions.iam.declare import change, read
from broker.actions.iam.owners import OWNERS, Answer, OwnerOperations
from broker.actions.iam.paging import cut, page_request, truncation
from broker.actions.iam.views import encoded
from broker.identities import inline_policies
from broker.identities.accounts import require_account
from broker.identities.owners import owner_id
from broker.model.request import Given
from broker.stores.directory.policies import list_inline_policies


def _operations(kind: OwnerOperations) -> tuple[Action, ...]:
    async def put(given: Given, call: Call) -> None:
        await inline_policies.put_inline_policy(
            call.change,
            await require_account(call.change, call.account),
            await kind.changing(given, call),
            given["PolicyName"],
            given["PolicyDocument"],
        )

    async def get(given: Given, call: Call) -> Answer:
        owner = await kind.read(given, call)
        policy = await inline_policies.require_inline_policy(
            call.directory, owner, given["PolicyName"]
        )
        return {
            kind.parameter: owner.name,
            "PolicyName": given["PolicyName"],
            "PolicyDocument": encoded(policy.document),
        }

    async def list_names(given: Given, call: Call) -> Answer:
        owner = await kind.read(given, call)
        policies = await list_inline_policies(
            call.directory, owner.account, owner_id(owner)
        )
        page = cut([policy.name for policy in policies], str, page_request(given))
        return {"PolicyNames": list(page.items), **truncation(page)}

    async def delete(given: Given, call: Call) -> None:
        owner = await kind.changing(given, call)
        await inline_policies.delete_inline_policy(
            call.change, owner, given["PolicyName"]
        )

    noun, held = kind.noun, kind.held
    return (
        change(f"Put{noun}Policy", put, kind.target, *held),
        read(f"Get{noun}Policy", get, kind.target),
        read(f"List{noun}Policies", list_names, kind.target),
        change(f"Delete{noun}Policy", delete, kind.target, *held),
    )


INLINE_POLICIES = tuple(action for kind in OWNERS for action in _operations(kind))
