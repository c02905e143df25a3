"""Organisations: accounts of the installation that share one start address.

The operator's file says which accounts belong together, what they are called, and
which of each one's providers sign in there. It opens nothing by itself: every account's
own providers verify a proof for its own roles, whose trust policies decide.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from broker.errors import OperatorError
from broker.kinds.yaml_text import TemplateError, load_yaml
from broker.model.account import AccountId, parse_account_id
from broker.model.arn import iam_arn

_FILE_BYTES_MAX = 262_144
_ORGANISATIONS_MAX = 50
_ACCOUNTS_MAX = 100
_PROVIDERS_MAX = 200
"""In one organisation: each of those that know the issuer verifies a proof."""

_PROVIDERS_OF_ONE_MAX = 10
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9]|-(?!-)){1,61}[a-z0-9]", re.ASCII)
_NUMBER = re.compile(r"[0-9]{12}", re.ASCII)
_PROVIDER = re.compile(r"(?:saml|oidc|ldap)-provider/[\w./:~%-]{1,255}", re.ASCII)
_TAKEN = frozenset({"authorize", "device"})
_DISPLAY_NAME_MAX = 64
_SAML, _OIDC, _LDAP = ":saml-provider/", ":oidc-provider/", ":ldap-provider/"


class OrganisationsFileError(OperatorError):
    """The file cannot be used; the message says what to change."""


class MemberAccount(Struct, frozen=True, kw_only=True):
    """An account of an organisation.

    ``providers`` are the ARNs of its identity providers that sign in there;
    ``has_passwords`` says that its IAM users do.
    """

    account: AccountId
    display_name: str = ""
    providers: tuple[str, ...] = ()
    has_passwords: bool = False


class Organisation(Struct, frozen=True, kw_only=True):
    """Accounts below the start address ``/portal/{name}``."""

    name: str
    display_name: str
    members: Mapping[AccountId, MemberAccount]

    @property
    def saml_providers(self) -> Iterator[tuple[AccountId, str]]:
        """The SAML providers that people sign in with, and their accounts."""
        return self._providers(_SAML)

    @property
    def oidc_providers(self) -> Iterator[tuple[AccountId, str]]:
        """The OpenID Connect providers that people sign in with, and their accounts."""
        return self._providers(_OIDC)

    @property
    def ldap_providers(self) -> Iterator[tuple[AccountId, str]]:
        """The LDAP providers that people sign in with, and their accounts."""
        return self._providers(_LDAP)

    def admits(self, account: AccountId, provider_arn: str = "") -> bool:
        """Whether an account is a member, and a provider of it signs in there."""
        member = self.members.get(account)
        if member is None:
            return False
        return not provider_arn or provider_arn in member.providers

    def admits_users(self, account: AccountId) -> bool:
        """Whether the account's IAM users sign in there."""
        member = self.members.get(account)
        return member is not None and member.has_passwords

    def _providers(self, kind: str) -> Iterator[tuple[AccountId, str]]:
        for member in self.members.values():
            for arn in member.providers:
                if kind in arn:
                    yield member.account, arn


class Organisations(Struct, frozen=True):
    """Those of the installation."""

    by_name: Mapping[str, Organisation] = {}

    def find(self, name: str) -> Organisation | None:
        """The organisation of this name."""
        return self.by_name.get(name)


def read_organisations(path: Path | None) -> Organisations:
    """Those of the file; none without one.

    Raises:
        OrganisationsFileError: it cannot be read, or something in it is wrong.
    """
    if path is None:
        return Organisations()
    try:
        with path.open("rb") as file:
            raw = file.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise OrganisationsFileError(
            f"{path} cannot be read ({error.strerror})"
        ) from error
    if len(raw) > _FILE_BYTES_MAX:
        raise OrganisationsFileError(f"{path} has more than {_FILE_BYTES_MAX} bytes")
    try:
        return parse_organisations(raw.decode())
    except UnicodeDecodeError as error:
        raise OrganisationsFileError(f"{path} is not UTF-8") from error
    except (TemplateError, OrganisationsFileError) as error:
        raise OrganisationsFileError(f"{path}: {error}") from error


def parse_organisations(text: str) -> Organisations:
    """The organisations of a file's text.

    Raises:
        TemplateError, OrganisationsFileError: something in it is wrong.
    """
    whole = _mapping(load_yaml(text), "the file", {"Organisations"})
    named = _mapping(whole.get("Organisations"), "Organisations")
    if not 1 <= len(named) <= _ORGANISATIONS_MAX:
        raise OrganisationsFileError(
            f"`Organisations` must have 1 to {_ORGANISATIONS_MAX} entries"
        )
    return Organisations({name: _organisation(name, named[name]) for name in named})


def _organisation(name: str, value: object) -> Organisation:
    if not _NAME.fullmatch(name) or _NUMBER.fullmatch(name) or name in _TAKEN:
        raise OrganisationsFileError(
            f"{name[:80]!r} is not a name for an organization; write 3 to 63 lower-case"
            f" letters, digits and hyphens, and none of {', '.join(sorted(_TAKEN))}"
        )
    params = _mapping(value, name, {"DisplayName", "Accounts"})
    accounts = _mapping(params.get("Accounts"), f"{name}.Accounts")
    if not 1 <= len(accounts) <= _ACCOUNTS_MAX:
        raise OrganisationsFileError(
            f"{name}.Accounts must have 1 to {_ACCOUNTS_MAX} entries"
        )
    members = [_member(number, accounts[number], name) for number in accounts]
    if not any(account.providers or account.has_passwords for account in members):
        raise OrganisationsFileError(
            f"{name}: no one can sign in; name Providers, or set Passwords: true, for"
            " an account"
        )
    if sum(len(account.providers) for account in members) > _PROVIDERS_MAX:
        raise OrganisationsFileError(
            f"{name}: all accounts together can have {_PROVIDERS_MAX} Providers"
        )
    return Organisation(
        name=name,
        display_name=_display_name(params, name) or name,
        members={account.account: account for account in members},
    )


def _member(number: str, value: object, organisation: str) -> MemberAccount:
    place = f"{organisation}.Accounts.{number[:20]}"
    try:
        account = parse_account_id(number)
    except ValueError as error:
        raise OrganisationsFileError(
            f"{place} is not an account; write its twelve digits in quotation marks"
        ) from error
    params = _mapping(value or {}, place, {"DisplayName", "Providers", "Passwords"})
    providers = params.get("Providers") or []
    if not isinstance(providers, list) or len(providers) > _PROVIDERS_OF_ONE_MAX:
        raise OrganisationsFileError(
            f"{place}.Providers must be a list of at most {_PROVIDERS_OF_ONE_MAX}"
        )
    for provider in providers:
        if not isinstance(provider, str) or not _PROVIDER.fullmatch(provider):
            raise OrganisationsFileError(
                f"{place}.Providers: {str(provider)[:80]!r} is not a provider; use, for"
                " example, saml-provider/Corp, oidc-provider/login.example.com or"
                " ldap-provider/corp"
            )
    passwords = params.get("Passwords", False)
    if not isinstance(passwords, bool):
        raise OrganisationsFileError(f"{place}.Passwords must be true or false")
    return MemberAccount(
        account=account,
        display_name=_display_name(params, place),
        providers=tuple(
            dict.fromkeys(iam_arn(account, provider) for provider in providers)
        ),
        has_passwords=passwords,
    )


def _mapping(
    value: object, place: str, allowed: set[str] | None = None
) -> Mapping[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        if isinstance(value, dict):
            raise OrganisationsFileError(
                f"{place}: write account numbers in quotation marks"
            )
        raise OrganisationsFileError(f"{place} must have named entries")
    unknown = sorted(value.keys() - allowed) if allowed is not None else []
    if unknown:
        raise OrganisationsFileError(
            f"{place} has no {unknown[0][:80]!r}; there can be"
            f" {', '.join(sorted(allowed or ()))}"
        )
    return value


def _display_name(params: Mapping[str, object], place: str) -> str:
    name = params.get("DisplayName", "")
    if (
        not isinstance(name, str)
        or len(name) > _DISPLAY_NAME_MAX
        or not name.isprintable()
    ):
        raise OrganisationsFileError(
            f"{place}.DisplayName must have at most {_DISPLAY_NAME_MAX} printable"
            " characters"
        )
    return name.strip()
