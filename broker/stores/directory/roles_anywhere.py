"""Trust anchors, profiles and revocation lists of IAM Roles Anywhere."""

from sqlalchemy import select
from sqlalchemy.sql import ColumnElement

from broker.model.account import AccountId
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
)
from broker.stores.directory.entity_tables import (
    FLAG,
    MAPPING,
    TEXTS,
    TIME,
    ColumnFormat,
    Entity,
    EntityTable,
    dump_mapping,
    load_mapping,
)
from broker.stores.directory.revocations import RevocationWrites
from broker.stores.directory.statements import Reads
from broker.stores.schema import (
    CERTIFICATE_LISTS,
    CERTIFICATE_PROFILES,
    TRUST_ANCHORS,
)

_MAPPINGS = ColumnFormat(
    dump_mapping,
    lambda text: {field: tuple(names) for field, names in load_mapping(text).items()},
)

_ANCHOR_TABLE = EntityTable(
    TRUST_ANCHORS,
    TrustAnchor,
    enabled=FLAG,
    created_at=TIME,
    updated_at=TIME,
    tags=MAPPING,
)
_PROFILE_TABLE = EntityTable(
    CERTIFICATE_PROFILES,
    CertificateProfile,
    role_arns=TEXTS,
    managed_policy_arns=TEXTS,
    accepts_session_name=FLAG,
    attribute_mappings=_MAPPINGS,
    enabled=FLAG,
    created_at=TIME,
    updated_at=TIME,
    tags=MAPPING,
)
_LIST_TABLE = EntityTable(
    CERTIFICATE_LISTS,
    CertificateList,
    enabled=FLAG,
    created_at=TIME,
    updated_at=TIME,
    tags=MAPPING,
)


class RolesAnywhereReads(Reads):
    """See ``DirectoryReader``."""

    async def find_trust_anchor(
        self, account: AccountId, anchor_id: str
    ) -> TrustAnchor | None:
        return await self.find_entity(
            _ANCHOR_TABLE, account=account, anchor_id=anchor_id
        )

    async def list_trust_anchors(self, account: AccountId) -> tuple[TrustAnchor, ...]:
        return await self._list_of(_ANCHOR_TABLE, account, "anchor_id")

    async def find_certificate_profile(
        self, account: AccountId, profile_id: str
    ) -> CertificateProfile | None:
        return await self.find_entity(
            _PROFILE_TABLE, account=account, profile_id=profile_id
        )

    async def list_certificate_profiles(
        self, account: AccountId
    ) -> tuple[CertificateProfile, ...]:
        return await self._list_of(_PROFILE_TABLE, account, "profile_id")

    async def find_certificate_list(
        self, account: AccountId, list_id: str
    ) -> CertificateList | None:
        return await self.find_entity(_LIST_TABLE, account=account, list_id=list_id)

    async def list_certificate_lists(
        self, account: AccountId
    ) -> tuple[CertificateList, ...]:
        return await self._list_of(_LIST_TABLE, account, "list_id")

    async def list_lists_of_anchor(
        self, account: AccountId, anchor_id: str
    ) -> tuple[CertificateList, ...]:
        return await self._list_of(
            _LIST_TABLE, account, "list_id", CERTIFICATE_LISTS.c.anchor_id == anchor_id
        )

    async def _list_of(
        self,
        stored: EntityTable[Entity],
        account: AccountId,
        key: str,
        *where: ColumnElement[bool],
    ) -> tuple[Entity, ...]:
        columns = stored.table.c
        return await self.list_entities(
            stored,
            select(stored.table)
            .where(columns.account == account, *where)
            .order_by(columns[key]),
        )


class RolesAnywhereWrites(RolesAnywhereReads, RevocationWrites):
    """See ``DirectoryChange``."""

    async def insert_trust_anchor(self, anchor: TrustAnchor) -> None:
        await self.insert_entity(_ANCHOR_TABLE, anchor, "trust anchor")

    async def update_trust_anchor(self, anchor: TrustAnchor) -> None:
        await self.update_entity(_ANCHOR_TABLE, anchor, "anchor_id")

    async def delete_trust_anchor(self, anchor: TrustAnchor) -> None:
        for table in (CERTIFICATE_LISTS, TRUST_ANCHORS):
            await self.delete_by(
                table, account=anchor.account, anchor_id=anchor.anchor_id
            )
        await self.end_vouched_for(anchor.account, anchor.arn, anchor.anchor_id)

    async def insert_certificate_profile(self, profile: CertificateProfile) -> None:
        await self.insert_entity(_PROFILE_TABLE, profile, "profile")

    async def update_certificate_profile(self, profile: CertificateProfile) -> None:
        await self.update_entity(_PROFILE_TABLE, profile, "profile_id")

    async def delete_certificate_profile(self, profile: CertificateProfile) -> None:
        await self.delete_by(CERTIFICATE_PROFILES, profile_id=profile.profile_id)

    async def insert_certificate_list(self, listed: CertificateList) -> None:
        await self.insert_entity(_LIST_TABLE, listed, "revocation list")

    async def update_certificate_list(self, listed: CertificateList) -> None:
        await self.update_entity(_LIST_TABLE, listed, "list_id")

    async def delete_certificate_list(self, listed: CertificateList) -> None:
        await self.delete_by(CERTIFICATE_LISTS, list_id=listed.list_id)
