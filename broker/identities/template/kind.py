"""What a kind of entity knows to do for templates, and what it works with."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from broker.identities.oidc_providers import IsInternal
from broker.identities.template.properties import Properties
from broker.model.account import Account, AccountId
from broker.model.sealing import Sealer
from broker.stores.directory.port import DirectoryChange, DirectoryReader

Spec = TypeVar("Spec")

CheckOptions = Callable[[Mapping[str, object]], object]
"""Raises ``ValueError`` for options that a provider cannot have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateContext:
    """What reading a template depends on besides its text."""

    is_internal: IsInternal
    http_hosts: Collection[str] = ()
    check_saml_options: CheckOptions = dict
    check_oidc_options: CheckOptions = dict
    sealer: Sealer | None = None
    """Seals an issuer's keys; without one, no issuer is switched on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountReading:
    """One account's part of a template while it is read."""

    account: AccountId
    now: datetime
    context: TemplateContext


@dataclass(slots=True, kw_only=True)
class AccountWork:
    """One account's transaction while a template is applied.

    ``promised`` are the ARNs of all users and roles that the template describes.
    ``pending_trust`` collects roles whose trust policy names one of them that does
    not exist yet; it is set once all do.
    """

    change: DirectoryChange
    account: Account
    now: datetime
    context: TemplateContext
    promised: frozenset[str] = frozenset()
    pending_trust: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityKind(Generic[Spec]):
    """One section of an account in a template.

    ``key`` is what two specifications of one entity have in common, ``label`` its name
    in print. ``update`` gets
    what is there and what shall be. ``spare`` adds to what shall be the parts of what
    is there that only ``--prune`` takes away, and names them. ``adopt`` takes over from
    what is there what counts more than the template: the broker keeps it itself.
    ``left`` takes from what shall be what only a call can make, because it is secret,
    and says which call; ``create`` is None where that is the entity itself.
    """

    section: str
    noun: str
    key: Callable[[Spec], str]
    label: Callable[[Spec], str]
    parse: Callable[[Properties, AccountReading], Spec]
    load: Callable[[DirectoryReader, AccountId], Awaitable[list[Spec]]]
    update: Callable[[AccountWork, Spec, Spec], Awaitable[None]]
    delete: Callable[[AccountWork, Spec], Awaitable[None]]
    show: Callable[[Spec], dict[str, object]]
    create: Callable[[AccountWork, Spec], Awaitable[None]] | None
    spare: Callable[[Spec, Spec], tuple[Spec, tuple[str, ...]]] = field(
        default=lambda _before, after: (after, ())
    )
    adopt: Callable[[Spec, Spec], Spec] = field(default=lambda _before, after: after)
    left: Callable[[Spec | None, Spec], tuple[Spec | None, tuple[str, ...]]] = field(
        default=lambda _before, after: (after, ())
    )


def shown_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as CloudFormation writes them."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]


def without_empty(properties: Mapping[str, object]) -> dict[str, object]:
    """The properties that say something."""
    return {k: v for k, v in properties.items() if v not in (None, "", [], {}, ())}
