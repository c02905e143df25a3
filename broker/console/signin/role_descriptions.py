"""The descriptions of the roles that one can choose from at sign-in."""

from collections.abc import Iterable, Mapping

from broker.model.account import parse_account_id
from broker.model.arn import Arn
from broker.stores.directory.fresh import FreshDirectory
from broker.stores.directory.kinds import ROLE

OFFERED_MAX = 60
"""Of so many roles the descriptions are read, and the offer is kept for the home page."""


async def find_descriptions(
    fresh: FreshDirectory, role_arns: Iterable[str]
) -> Mapping[str, str]:
    """The descriptions by ARN, of the first roles; those without any are left out.

    Raises:
        ServiceUnavailable: The roles cannot be read.
    """
    found: dict[str, str] = {}
    for arn in list(dict.fromkeys(role_arns))[:OFFERED_MAX]:
        try:
            account = parse_account_id(Arn.parse(arn).account)
        except ValueError:
            continue
        role = await fresh.named(ROLE, account, arn.rpartition("/")[2])
        if role is not None and role.arn == arn and role.description:
            found[arn] = role.description
    return found
