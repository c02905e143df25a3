"""``broker get``: what is there, kind by kind, as `broker apply` describes it."""

from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from broker.cli.operator import AccountOption, JsonOption, with_services
from broker.cli.provider_setup import describe_provider
from broker.cli.terminal import say, say_entries, say_json, say_members
from broker.errors import NoSuchEntity
from broker.kinds.yaml_text import dump_yaml
from broker.model.account import AccountId
from broker.runtime.spelling import suggest
from broker.stores.directory.accounts import list_accounts
from broker.template.reader import KINDS
from broker.template.section import Section, without_empty

if TYPE_CHECKING:
    from broker.compose.services import Services

_PROVIDERS = frozenset({"provider", "saml-provider", "oidc-provider", "ldap-provider"})


def get(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="[KIND]",
            help="A section of a template, such as Roles. Default: list the kinds.",
        ),
    ] = "",
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="One of them; a provider's ARN.")
    ] = "",
    account: AccountOption = None,
    as_yaml: Annotated[
        bool,
        typer.Option(
            "--yaml", help="As YAML for `broker apply`, as `export` prints it."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the objects of a kind, or show one of them.

    For a provider, given by its ARN, this includes what to configure at the identity
    provider.
    """
    if as_yaml and (as_json or not kind):
        raise typer.BadParameter("--yaml needs a kind, and goes without --json")
    if not kind:
        kinds = [{"Kind": section.section, "Noun": section.label} for section in KINDS]
        say_entries(
            kinds, ("Kind", "Is a"), itemgetter("Kind", "Noun"), as_json=as_json
        )
        return

    is_provider = bool(name) and kind.lower().rstrip("s") in _PROVIDERS
    if is_provider and not as_yaml:
        described = with_services(lambda services: describe_provider(services, name))
        if as_json:
            say_json(described)
        else:
            say_members(described)
        return
    section = _get_kind(kind)
    entries = with_services(lambda services: _find(services, section, name, account))
    if as_yaml:
        accounts: dict[str, dict[str, list[Mapping[str, Any]]]] = {}
        for entry in entries:
            sections = accounts.setdefault(entry.account, {section.section: []})
            sections[section.section].append(entry.members)
        say(*dump_yaml({"Accounts": accounts}).removesuffix("\n").split("\n"))
        return
    results = [
        {"Account": entry.account, "Name": entry.name, **entry.members}
        for entry in entries
    ]
    if name and not as_json:
        for result in results:
            say_members(result)
        return
    headings = ("Account", "Name")
    say_entries(results, headings, itemgetter(*headings), as_json=as_json)


def _get_kind(text: str) -> Section:
    sections = {kind.section.lower(): kind for kind in KINDS}
    for written in (text.lower(), f"{text.lower()}s"):
        if written in sections:
            return sections[written]
    known = suggest(text, [kind.section for kind in KINDS])
    raise typer.BadParameter(f"{text!r} is not a kind; {known}")


class _Entry(NamedTuple):
    """One object, with its members as a template has them."""

    account: AccountId
    name: str
    members: Mapping[str, Any]


async def _find(
    services: "Services", kind: Section, name: str, account: AccountId | None
) -> list[_Entry]:
    directory = services.stores.directory
    entries = [
        _Entry(owner.account_id, kind.name_of(spec), without_empty(kind.show(spec)))
        for owner in await list_accounts(directory)
        if account in {None, owner.account_id}
        async for page in kind.pages(directory, owner.account_id)
        for spec in page
        if name.lower() in {"", kind.name_of(spec).lower()}
    ]
    if name and not entries:
        raise NoSuchEntity(f"There is no {kind.label} {name}.")
    return entries
