"""Ends the sessions of roles that a provider no longer gives a person."""

from collections.abc import Sequence
from datetime import datetime

from broker.model.account import AccountId
from broker.model.audit import AuditRecord
from broker.model.entities import LdapProvider, OidcProvider
from broker.runtime.entropy import new_request_id
from broker.sessions.revoke import revoke_lost_role
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.port import Directory


async def end_lost_roles(
    directory: Directory,
    provider: LdapProvider | OidcProvider,
    account: AccountId,
    subject: str,
    role_arns: Sequence[str],
    *,
    now: datetime,
) -> None:
    """End this person's sessions of these roles of an account, and what came from them."""
    reason = f"{provider.arn} no longer gives the role"
    issuer = provider.url if isinstance(provider, OidcProvider) else provider.arn
    async with directory.change(account) as change:
        for arn in role_arns:
            role = await change.named(ROLE, account, arn.rpartition("/")[2])
            if role is not None and role.arn == arn:
                await revoke_lost_role(
                    change,
                    account=account,
                    issuer=issuer,
                    subject=subject,
                    role_id=role.role_id,
                    now=now,
                    reason=reason,
                )
        await change.record(
            background_record(
                provider.arn,
                account,
                "EndRoleSessions",
                reason,
                now,
                Subject=subject,
                RoleArns=list(role_arns),
            )
        )


def background_record(
    provider_arn: str,
    account: AccountId,
    action: str,
    reason: str,
    now: datetime,
    **parameters: object,
) -> AuditRecord:
    """The record of what the broker ended by itself."""
    return AuditRecord(
        event_id=new_request_id(),
        at=now,
        account=account,
        door="background",
        action=f"broker:{action}",
        caller_arn="broker",
        parameters=parameters,
        resources=(provider_arn,),
        decision="allowed",
        reason=reason,
    )
