"""Last uses, and the reports made from them."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from broker.model.account import AccountId
from broker.model.overview import EndingCredential, OldKey, PolicyText, UnusedRole
from broker.model.uses import Report, Use


class UseReader(Protocol):
    """When each subject was last used, and for what."""

    async def list_uses(
        self, account: AccountId, subjects: Collection[str] | None = None
    ) -> tuple[Use, ...]:
        """Last uses of these subjects (of all for None), the latest first."""
        ...


class RiskReader(Protocol):
    """What is unused, old or about to end: the first of each, up to a limit."""

    async def list_unused_roles(
        self, account: AccountId, since: datetime, limit: int
    ) -> tuple[UnusedRole, ...]:
        """Roles that were there before and were not used since, by name.

        Service-linked roles are left out.
        """
        ...

    async def list_old_keys(
        self, account: AccountId, before: datetime, limit: int
    ) -> tuple[OldKey, ...]:
        """Active access keys that were made before, the oldest first."""
        ...

    async def list_ending_credentials(
        self, account: AccountId, before: datetime, limit: int
    ) -> tuple[EndingCredential, ...]:
        """Server certificates and users' credentials that end before, the first first.

        Those that have ended are among them.
        """
        ...

    async def list_policy_texts(
        self, account: AccountId, limit: int
    ) -> tuple[PolicyText, ...]:
        """Managed policies by name (in their default version), then inline ones."""
        ...


class SealReader(Protocol):
    """What seals the secrets in columns of their own, of all accounts."""

    async def count_sealed(self, head_bytes: int) -> Mapping[bytes, int]:
        """How many of these secrets begin with the same bytes."""
        ...


class ReportReader(Protocol):
    """Reports that were asked for."""

    async def find_report(
        self, account: AccountId, report_id: str
    ) -> Report | None: ...


class ReportChange(ReportReader, Protocol):
    """Writes to reports."""

    async def put_report(self, report: Report) -> None:
        """Store a report, replacing one of the same id; old reports are deleted."""
        ...
