"""Last uses, and the reports made from them."""

from collections.abc import Collection
from typing import Protocol

from broker.model.account import AccountId
from broker.model.uses import Report, Use


class UseReader(Protocol):
    """When each subject was last used, and for what."""

    async def list_uses(
        self, account: AccountId, subjects: Collection[str] | None = None
    ) -> tuple[Use, ...]:
        """Last uses of these subjects (of all for None), the latest first."""
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
