"""What the kinds of IAM Roles Anywhere share: they are in a region, and have ids."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from broker.errors import NoSuchEntity
from broker.kinds.kind import Rules
from broker.kinds.tags import KeyCase, checked_tags
from broker.model.account import AccountId
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
    rolesanywhere_arn,
)
from broker.runtime.entropy import random_bytes
from broker.stores.directory.entity_tables import Entity
from broker.stores.directory.port import DirectoryReader

if TYPE_CHECKING:
    from broker.model.types import rolesanywhere as types

SERVICE_PRINCIPAL = "rolesanywhere.amazonaws.com"

_UUID_BYTES = 16

Named = TrustAnchor | CertificateProfile | CertificateList


@dataclass(frozen=True, eq=False, kw_only=True)
class Regional(Rules[Entity]):
    """A kind of the service.

    ``resource`` is its word in ARNs. ``member`` is what answers call one, and begins
    the names of other members. ``operations`` create, get, list, change, enable,
    disable and delete; they refuse the members ``refused``.
    """

    resource: str
    member: str
    operations: tuple[str, str, str, str, str, str, str]
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expiry:
    """When an authority's certificate ends, or its next revocation list is due.

    ``at`` is None for a list that does not say; ``revoked`` counts its certificates.
    """

    subject: str
    at: datetime | None
    revoked: int = 0


def id_of(identifier: str, resource: str, account: AccountId, region: str) -> str:
    """The id in an id or an ARN of this account and region; empty if it is of another."""
    if ":" not in identifier:
        return identifier
    found = identifier.rpartition("/")[2]
    is_own = identifier == rolesanywhere_arn(region, account, resource, found)
    return found if is_own else ""


async def require_regional(
    of: Regional[Any],
    directory: DirectoryReader,
    account: AccountId,
    region: str,
    identifier: str,
) -> Any:  # noqa: ANN401  # one of the kind
    """One of a region, by id or ARN.

    Raises:
        NoSuchEntity: there is none.
    """
    key = id_of(identifier, of.resource, account, region)
    found = await directory.find(of.kind, account, key)
    if found is None or found.region != region:
        noun = of.member[0].upper() + of.member[1:]
        raise NoSuchEntity(f"{noun} {identifier[:1011]} not found")
    return found


def given_tags(tags: "Sequence[types.Tag]") -> dict[str, str]:
    """The tags of a request.

    Raises:
        InvalidInput: two have one key, or one is reserved.
    """
    return checked_tags([(one["key"], one["value"]) for one in tags], KeyCase.SENSITIVE)


def new_id() -> str:
    """A new random id."""
    return str(uuid.UUID(bytes=random_bytes(_UUID_BYTES), version=4))
