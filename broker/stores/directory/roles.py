"""Searches for roles."""

from sqlalchemy import or_, select

from broker.model.account import AccountId
from broker.model.entities import Role
from broker.model.page import Page, PageRequest
from broker.stores.directory.entity_tables import name_key
from broker.stores.directory.kinds import ROLE
from broker.stores.directory.port import DirectoryReader
from broker.stores.schema import ROLES


async def list_roles_with(
    directory: DirectoryReader, account: AccountId, part: str, page: PageRequest
) -> Page[Role]:
    """Roles with a text in their name or description.

    Without regard to case, but for letters beyond ASCII in descriptions.
    """
    statement = select(ROLES).where(
        ROLES.c.account == account,
        or_(
            ROLES.c.name_key.contains(name_key(part), autoescape=True),
            ROLES.c.description.icontains(part, autoescape=True),
        ),
    )
    return await directory.page(statement, page, ROLES.c.name_key, ROLE.stored.read)


async def list_roles_naming(
    directory: DirectoryReader, account: AccountId, text: str, limit: int
) -> tuple[Role, ...]:
    """The first roles, by name, whose trust policy holds this text."""
    return await directory.list_entities(
        ROLE.stored,
        select(ROLES)
        .where(
            ROLES.c.account == account,
            ROLES.c.trust_policy.contains(text, autoescape=True),
        )
        .order_by(ROLES.c.name_key)
        .limit(limit),
    )
