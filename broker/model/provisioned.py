"""People and groups that an identity provider's directory provisions by SCIM."""

from datetime import datetime

from msgspec import Struct

from broker.model.account import AccountId


class ProvisionedUser(Struct, frozen=True, kw_only=True):
    """A person of a provider's directory.

    ``document`` is the JSON of the SCIM resource without what the broker assigns.
    ``email`` is the address that counts. Proofs before ``not_before`` open nothing.
    ``departed_at`` is when the person was deleted: what is left then serves to refuse
    them, and SCIM does not show it.
    """

    account: AccountId
    provider_id: str
    user_id: str
    user_name: str
    external_id: str = ""
    email: str = ""
    active: bool = True
    document: str = "{}"
    version: int = 1
    created_at: datetime
    updated_at: datetime
    not_before: datetime | None = None
    departed_at: datetime | None = None


class ProvisionedGroup(Struct, frozen=True, kw_only=True):
    """A group of a provider's directory; its members are kept apart."""

    account: AccountId
    provider_id: str
    group_id: str
    name: str
    external_id: str = ""
    version: int = 1
    created_at: datetime
    updated_at: datetime


class Membership(Struct, frozen=True, kw_only=True):
    """A person in a group, with what the group is called."""

    group_id: str
    group_name: str
    group_external_id: str
    user_id: str


class ProvisioningCounts(Struct, frozen=True, kw_only=True):
    """How many people, of them inactive, and groups a provider's directory has."""

    users: int
    inactive: int
    groups: int
