"""What a template needs to know of each kind of entity."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, TypeVar

from broker.identities.kind import Work
from broker.identities.oidc_providers import IsInternal
from broker.identities.template.errors import TemplateError
from broker.identities.template.properties import Properties
from broker.model.account import Account, AccountId
from broker.model.arn import iam_arn
from broker.model.sealing import Sealer
from broker.stores.directory.port import DirectoryChange, DirectoryReader

Spec = TypeVar("Spec")

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

    def options(self, properties: Properties, kind: type[Any]) -> Mapping[str, Any]:
        """The broker-only options of a kind of provider."""
        options = properties.mapping("Broker")
        try:
            self.context.check_options(kind, options)
        except ValueError as error:
            raise TemplateError(f"{properties.place}.Broker", str(error)) from error
        return options


@dataclass(slots=True, kw_only=True)
class AccountWork:
    """One account's transaction while a template is applied.

    ``planned`` are the ARNs of all users and roles that the template describes.
    ``pending_trust`` collects roles whose trust policy names one of them that does
    not exist yet; it is set once all do.
    """

    change: DirectoryChange
    account: Account
    now: datetime
    context: TemplateContext
    planned: frozenset[str] = frozenset()
    pending_trust: dict[str, str] = field(default_factory=dict)

    def at(self, region: str = "") -> Work:
        """What the rules of a kind are told; the account's root makes things."""
        return Work(
            change=self.change,
            account=self.account.account_id,
            region=region or self.context.home_region,
            now=self.now,
            by=iam_arn(self.account.account_id, "root"),
        )


def _name_in_lower_case(spec: Any) -> str:  # noqa: ANN401  # any kind with a name
    return str(spec.name.lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityKind(Generic[Spec]):
    """One section of an account in a template.

    Two specifications with the same ``key`` describe the same entity; ``label`` is its
    name in messages. ``update`` gets the present and the wanted specification.
    ``keep_unlisted`` adds to the wanted one the parts that only ``--prune`` removes, and names
    them. ``adopt`` keeps from the present one what the broker maintains itself.
    ``require_calls`` removes from the wanted one what only an API call can create, because it is
    secret, and names the call; ``create`` is None if that is the entity itself.
    ``pages`` reads those that are there, some at a time.
    ``show`` writes the properties of a specification; empty ones are left out.
    """

    section: str
    noun: str
    parse: Callable[[Properties, AccountReading], Spec]
    pages: Callable[[DirectoryReader, AccountId], AsyncIterator[list[Spec]]]
    update: Callable[[AccountWork, Spec, Spec], Awaitable[None]]
    delete: Callable[[AccountWork, Spec], Awaitable[None]]
    show: Callable[[Spec], dict[str, object]]
    create: Callable[[AccountWork, Spec], Awaitable[None]] | None
    key: Callable[[Spec], str] = _name_in_lower_case
    label: Callable[[Spec], str] = attrgetter("name")
    keep_unlisted: Callable[[Spec, Spec], tuple[Spec, tuple[str, ...]]] = field(
        default=lambda _before, after: (after, ())
    )
    adopt: Callable[[Spec, Spec], Spec] = field(default=lambda _before, after: after)
    require_calls: Callable[
        [Spec | None, Spec], tuple[Spec | None, tuple[str, ...]]
    ] = field(default=lambda _before, after: (after, ()))

    async def distinct(
        self, directory: DirectoryReader, account: AccountId
    ) -> AsyncIterator[list[Spec]]:
        """The ``pages``, with `TemplateError` where two have the same ``key``."""
        seen: set[str] = set()
        async for page in self.pages(directory, account):
            for key in map(self.key, page):
                if key in seen:
                    raise TemplateError(key, f"several {self.noun}s have this name")
                seen.add(key)
            yield page


def shown_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as CloudFormation writes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def without_empty(properties: Mapping[str, object]) -> dict[str, object]:
    """The properties without the empty ones."""
    return {k: v for k, v in properties.items() if v not in (None, "", [], {}, ())}
