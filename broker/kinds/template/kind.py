"""What reading and applying a template depend on besides its text."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from broker.kinds.kind import Work
from broker.kinds.oidc_providers import IsInternal
from broker.kinds.template.errors import TemplateError
from broker.model.account import Account, AccountId
from broker.model.arn import iam_arn
from broker.model.sealing import Sealer
from broker.stores.directory.port import DirectoryChange

CheckOptions = Callable[[type[Any], Mapping[str, object]], object]
"""Raises ``ValueError`` for options that a kind of provider cannot have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateContext:
    """What parsing a template depends on besides its text."""

    is_internal: IsInternal
    home_region: str = "us-east-1"
    http_hosts: Collection[str] = ()
    check_options: CheckOptions = lambda _kind, _options: None
    check_directory: Callable[[str], object] = str
    """Raises ``ValueError`` for a directory that the operator does not have."""
    sealer: Sealer | None = None
    """Seals an issuer's keys; without it, no issuer can be enabled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReading:
    """The context of parsing one account's part of a template."""

    account: AccountId
    now: datetime
    context: TemplateContext

    def check_options(
        self, place: str, options: Mapping[str, Any], kind: type[Any]
    ) -> None:
        """Judge the broker-only options of a kind of provider."""
        try:
            self.context.check_options(kind, options)
        except ValueError as error:
            raise TemplateError(f"{place}.Broker", str(error)) from error


@dataclass(slots=True, kw_only=True)
class AccountWork:
    """One account's transaction while a template is applied.

    ``planned`` are the ARNs of all users and roles that the template describes.
    ``pending_trust`` collects roles whose trust policy names one of them that does
    not exist yet, with the ``place`` where the role is; it is set once all do.
    """

    change: DirectoryChange
    account: Account
    now: datetime
    context: TemplateContext
    planned: frozenset[str] = frozenset()
    place: str = ""
    pending_trust: dict[str, tuple[str, str]] = field(default_factory=dict)

    def at(self, region: str = "") -> Work:
        """What the rules of a kind are told; the account's root makes things."""
        return Work(
            change=self.change,
            account=self.account.account_id,
            region=region or self.context.home_region,
            now=self.now,
            by=iam_arn(self.account.account_id, "root"),
        )


def shown_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as CloudFormation writes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def without_empty(properties: Mapping[str, object]) -> dict[str, object]:
    """The properties without the empty ones."""
    return {k: v for k, v in properties.items() if v not in (None, "", [], {}, ())}
