"""Trust anchors, profiles and revocation lists of IAM Roles Anywhere."""

from typing import Protocol

from broker.model.account import AccountId
from broker.model.roles_anywhere import (
    CertificateList,
    CertificateProfile,
    TrustAnchor,
)
from broker.stores.directory.port.accounts import EntityCounter


class RolesAnywhereReader(Protocol):
    """Look-ups by id, and whole lists by id."""

    async def find_trust_anchor(
        self, account: AccountId, anchor_id: str
    ) -> TrustAnchor | None: ...

    async def list_trust_anchors(
        self, account: AccountId
    ) -> tuple[TrustAnchor, ...]: ...

    async def find_certificate_profile(
        self, account: AccountId, profile_id: str
    ) -> CertificateProfile | None: ...

    async def list_certificate_profiles(
        self, account: AccountId
    ) -> tuple[CertificateProfile, ...]: ...

    async def find_certificate_list(
        self, account: AccountId, list_id: str
    ) -> CertificateList | None: ...

    async def list_certificate_lists(
        self, account: AccountId
    ) -> tuple[CertificateList, ...]: ...

    async def list_lists_of_anchor(
        self, account: AccountId, anchor_id: str
    ) -> tuple[CertificateList, ...]:
        """Those of one trust anchor: together they may be many megabytes."""
        ...


class RolesAnywhereChange(RolesAnywhereReader, EntityCounter, Protocol):
    """Writes; each kind is written whole, by its id."""

    async def insert_trust_anchor(self, anchor: TrustAnchor) -> None: ...

    async def update_trust_anchor(self, anchor: TrustAnchor) -> None: ...

    async def delete_trust_anchor(self, anchor: TrustAnchor) -> None:
        """With its revocation lists."""
        ...

    async def insert_certificate_profile(self, profile: CertificateProfile) -> None: ...

    async def update_certificate_profile(self, profile: CertificateProfile) -> None: ...

    async def delete_certificate_profile(self, profile: CertificateProfile) -> None: ...

    async def insert_certificate_list(self, listed: CertificateList) -> None: ...

    async def update_certificate_list(self, listed: CertificateList) -> None: ...

    async def delete_certificate_list(self, listed: CertificateList) -> None: ...
