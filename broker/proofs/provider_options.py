"""The broker options of identity providers, each described once.

Each field of `ProviderOptions` is an option: its name, which providers can have it, how
its text and its stored value are read, and its words on the form. The command line, the
console, templates and sign-ins read these descriptions; docs/operating/providers.md explains the
options.
"""

import base64
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from broker.model.account import AccountId
from broker.model.entities import (
    CLIENT_SECRET_SEAL,
    LdapProvider,
    OidcProvider,
    SamlProvider,
)
from broker.model.provisioned import ProvisionedUser
from broker.model.sealing import Sealer
from broker.model.secret import Confidential, Hidden
from broker.proofs import option_types as types
from broker.proofs.group_roles import GroupRoles
from broker.runtime.bounded import remembered
from broker.runtime.spelling import suggest
from broker.stores.directory.kinds import LDAP_PROVIDER, OIDC_PROVIDER, SAML_PROVIDER
from broker.stores.directory.port import Finder
from broker.stores.directory.stored import Remembered

if TYPE_CHECKING:
    # They bring the verifiers, which a list of providers does not need.
    from broker.protocols.oidc.verify import VerifyOptions
    from broker.protocols.saml.conditions import SamlOptions

Provider = SamlProvider | OidcProvider | LdapProvider
P = TypeVar("P", bound=Provider)
T = TypeVar("T")

SECRET: Final = "ClientSecret"  # noqa: S105  # an option's name
"""The option that is stored sealed and never shown."""

SEALED: Final = "(sealed)"

_URL_MAX = 2048
_PRIVATE = frozenset({"d", "k"})
"""The secret members of a JWK."""


GROUPS = (
    "Sign-in page",
    "Published metadata",
    "Roles by group",
    "People and groups by SCIM",
    "What is accepted",
)
"""The groups of options, in the form's order."""

_SIGN_IN, _PUBLISHED, _ROLES, _SCIM, _ACCEPTED = GROUPS
_BOTH = (SamlProvider, OidcProvider)

STORED: Mapping[type[Provider], Remembered[Any]] = {
    SamlProvider: SAML_PROVIDER,
    OidcProvider: OIDC_PROVIDER,
    LdapProvider: LDAP_PROVIDER,
}
"""How each kind of provider is stored."""

_IN_ARNS = dict(
    zip(
        ("saml-provider", "oidc-provider", "ldap-provider"),
        STORED.values(),
        strict=True,
    )
)


class OptionPlace(Struct, frozen=True):
    """Which kinds of provider have an option, and its group on the form.

    ``is_exception`` says that it accepts what is refused otherwise; no other option needs
    it.
    """

    kinds: tuple[type[Provider], ...]
    group: str
    is_exception: bool = False


class Option(Struct, Generic[T], frozen=True):
    """An option; ``label`` and ``hint`` are its words on the form."""

    name: str
    type: types.OptionType[T]
    place: OptionPlace
    label: str = ""
    hint: str = ""

    def field(self, label: str, hint: str) -> T:
        """The default of the field of `ProviderOptions` that holds its value."""
        _DESCRIBED.append(replace(self, label=label, hint=hint))
        return self.type.default


_DESCRIBED: list[Option[Any]] = []
"""In the order of the fields."""


OIDC_SIGN_IN = OptionPlace((OidcProvider,), _SIGN_IN)
PUBLISHED = OptionPlace((SamlProvider,), _PUBLISHED)
SAML_EXCEPTION = OptionPlace((SamlProvider,), _ACCEPTED, is_exception=True)
OIDC_ACCEPTED = OptionPlace((OidcProvider,), _ACCEPTED)
SCIM = OptionPlace(_BOTH, _SCIM)


class ScimOptions(Struct, frozen=True, kw_only=True):
    """How people are matched with those whom a provider's directory provisions.

    ``subject`` is the attribute of a SCIM user that equals what a proof says of its
    person: ``userName``, ``externalId`` or ``emails`` (the address that counts).
    ``claim`` is the claim or SAML attribute that says it; without it that is ``sub`` or
    the NameID. ``groups`` says where the groups for ``GroupRoles`` come from: the
    directory, by their ``displayName`` or ``externalId``, or still the proof
    (``asserted``).
    """

    subject: str
    claim: str = ""
    groups: str = "displayName"
    allows_unknown: bool = False

    @property
    def gives_groups(self) -> bool:
        """Whether the directory's groups replace those of the proof."""
        return self.groups != "asserted"

    def subject_of(self, user: ProvisionedUser) -> str:
        """The user's attribute that proofs are compared with."""
        return {
            "userName": user.user_name,
            "externalId": user.external_id,
            "emails": user.email,
        }[self.subject]


class ProviderOptions(Confidential, frozen=True, kw_only=True):
    """What a provider's operator has set, in the terms of the code."""

    sign_in: bool = Option(
        "SignIn", types.FLAG, OptionPlace((SamlProvider, LdapProvider), _SIGN_IN)
    ).field(
        "Offer this provider on the sign-in page",
        "People start here, and the broker sends a signed request.",
    )
    display_name: str = Option(
        "DisplayName", types.DISPLAY_NAME, OptionPlace((*_BOTH, LdapProvider), _SIGN_IN)
    ).field("Name on the sign-in page", "What people call it; else its name or issuer.")
    client_id: str = Option("ClientId", types.TEXT, OIDC_SIGN_IN).field(
        "Client ID", "With it, the sign-in page offers this provider."
    )
    sealed_client_secret: Hidden[str] = Option(
        SECRET, types.SEALED_TEXT, OIDC_SIGN_IN
    ).field(
        "Client secret",
        "Stored encrypted and never shown. Leave it as it is to keep it.",
    )
    scopes: tuple[str, ...] = Option("Scopes", types.SCOPES, OIDC_SIGN_IN).field(
        "Scopes to ask for", "Separated by commas; openid if empty."
    )
    name_claims: tuple[str, ...] = Option(
        "NameClaims", types.NAME_CLAIMS, OIDC_SIGN_IN
    ).field(
        "Claims that identify one person",
        "Separated by commas, best first; sessions are named after them.",
    )
    watch: str = Option("Watch", types.WATCH, OIDC_SIGN_IN).field(
        "How to notice who leaves",
        "RefreshToken: the provider is asked with an offline refresh token. Without it,"
        " only what it tells by logout or SCIM is noticed.",
    )
    watch_seconds: int = Option(
        "WatchSeconds", types.WATCH_SECONDS, OIDC_SIGN_IN
    ).field(
        "Seconds between two questions about each sign-in",
        "30 to 3,600; 300 if empty. For a provider of your own: 30.",
    )
    metadata_url: str = Option("MetadataUrl", types.TEXT, PUBLISHED).field(
        "Metadata URL",
        "It is reread regularly, so that key rotation interrupts nothing.",
    )
    metadata_certificate: str = Option(
        "MetadataCertificate", types.PEM, PUBLISHED
    ).field(
        "Certificates of its signers, in PEM",
        "Needed with http; else, without them, a key that is registered signs it.",
    )
    metadata_trust_tls: bool = Option("MetadataTrustTls", types.FLAG, PUBLISHED).field(
        "Trust an unsigned document on the strength of TLS",
        "Anyone who controls that server or its name can then replace the keys.",
    )
    profile: str = Option(
        "Profile", types.PROFILE, OptionPlace(_BOTH, _ACCEPTED, is_exception=True)
    ).field(
        "Rules",
        "“As AWS” accepts what AWS accepts where the broker is stricter."
        " Signatures, algorithms, recipients and expiry are checked either way.",
    )
    audiences: frozenset[str] = Option("Audiences", types.TEXTS, SAML_EXCEPTION).field(
        "Further audiences", "Separated by commas, such as AWS's own."
    )
    recipients: frozenset[str] = Option(
        "Recipients", types.TEXTS, SAML_EXCEPTION
    ).field(
        "Further recipients", "Separated by commas: addresses besides this broker's."
    )
    mint_per_door: bool = Option("MintPerDoor", types.FLAG, SAML_EXCEPTION).field(
        "A response may be used once for the console and once at the API",
        "For programs that do both with the same one.",
    )
    exchange_twice: bool = Option("ExchangeTwice", types.FLAG, SAML_EXCEPTION).field(
        "A response may be exchanged a second time within a minute",
        "For programs that try it once as a test.",
    )
    legacy_rsa: bool = Option("LegacyRsa", types.FLAG, SAML_EXCEPTION).field(
        "Accept RSA keys of 1,024 bits", "Weak. Replace the key instead, if you can."
    )
    allow_sha1: bool = Option("AllowSha1", types.FLAG, SAML_EXCEPTION).field(
        "Accept SHA-1 signatures", "Collisions can forge these."
    )
    allow_cbc: bool = Option("AllowCbc", types.FLAG, SAML_EXCEPTION).field(
        "Accept AES-CBC encryption in a signed response",
        "Malleable. Use AES-GCM instead, if you can.",
    )
    one_time_use: bool = Option("OneTimeUse", types.FLAG_OR_TEXT, OIDC_ACCEPTED).field(
        "A token can be used only once",
        "Not for workloads that read the same token file again.",
    )
    algorithms: frozenset[str] = Option(
        "Algorithms", types.ALGORITHMS, OIDC_ACCEPTED
    ).field(
        "Signature algorithms",
        "Separated by commas, such as RS256, ES256; all safe ones if empty.",
    )
    claim_keys: tuple[str, ...] = Option(
        "ClaimKeys", types.CLAIM_KEYS, OIDC_ACCEPTED
    ).field("Claims that become condition keys", "Separated by commas.")
    static_jwks: str = Option("StaticJwks", types.JWKS, OIDC_ACCEPTED).field(
        "Keys, as a JWK set", "Used instead of fetching them from the issuer."
    )
    group_attribute: str = Option(
        "GroupAttribute", types.ATTRIBUTE, OptionPlace(_BOTH, _ROLES)
    ).field(
        "Attribute or claim with the groups",
        "For identity providers that cannot send role ARNs.",
    )
    group_table: Mapping[str, tuple[str, ...]] | None = Option(
        "GroupRoles", types.TABLE, OptionPlace((*_BOTH, LdapProvider), _ROLES)
    ).field(
        "Roles of each group, as JSON",
        '{"Engineering": ["arn:aws:iam::123456789012:role/Developer"]}',
    )
    scim_subject: str = Option("ScimSubject", types.SUBJECT, SCIM).field(
        "Attribute that identifies a person",
        "userName, externalId or emails. If set, only people whom the directory"
        " provisions as active can sign in.",
    )
    scim_claim: str = Option("ScimClaim", types.CLAIM, SCIM).field(
        "Claim or SAML attribute to compare it with",
        "The NameID or sub if empty; for Entra ID with OpenID Connect: oid.",
    )
    scim_groups: str = Option("ScimGroups", types.GROUP_NAMES, SCIM).field(
        "Source of the groups for roles",
        "displayName or externalId of the directory's groups, or asserted: those of"
        " the proof. displayName if empty.",
    )
    scim_unknown: str = Option(
        "ScimUnknown", types.UNKNOWN, replace(SCIM, is_exception=True)
    ).field("People who are not in the directory", "refuse or allow; refuse if empty.")

    @staticmethod
    def parse(options: Mapping[str, object]) -> "ProviderOptions":
        """Read what is stored; names of other features are ignored.

        Raises:
            ValueError: names the option, what is wrong and what to write.
        """
        if not options:
            return _NOTHING_SET
        results: Mapping[str, Any] = {
            attribute: entry.type.parse(entry.name, options[entry.name])
            for attribute, entry in _BY_ATTRIBUTE.items()
            if entry.name in options
        }
        made = ProviderOptions(**results)
        for option in () if made.scim_subject else OPTIONS:
            if option.name in options and option.place.group == _SCIM:
                raise ValueError(
                    f"{option.name} says nothing without ScimSubject: write one of"
                    f" {', '.join(types.SUBJECTS)}"
                )
        return made

    @property
    def begins_here(self) -> bool:
        """Whether a sign-in can begin with the provider at the broker."""
        return self.sign_in or bool(self.client_id)

    @property
    def watch_interval(self) -> timedelta | None:
        """How often each sign-in is asked about; None if the provider is not asked."""
        return timedelta(seconds=self.watch_seconds) if self.watch else None

    @property
    def group_roles(self) -> GroupRoles | None:
        """The roles by group; None where there is no table."""
        table = self.group_table
        if table is None:
            return None
        return GroupRoles(attribute=self.group_attribute, roles=table)

    @property
    def scim(self) -> ScimOptions | None:
        """How people are matched with the directory's; None where SCIM is off."""
        if not self.scim_subject:
            return None
        return ScimOptions(
            subject=self.scim_subject,
            claim=self.scim_claim,
            groups=self.scim_groups,
            allows_unknown=self.scim_unknown == "allow",
        )

    @property
    def saml(self) -> "SamlOptions":
        """The options that the verifier of assertions needs."""
        return _saml_options(self.profile, self.allow_sha1, self.allow_cbc)

    @property
    def oidc(self) -> "VerifyOptions":
        """The options that the verifier of tokens needs."""
        return _oidc_options(self.algorithms, self.profile, self.one_time_use)


@remembered()
def _saml_options(profile: str, *allowed: bool) -> "SamlOptions":
    from broker.protocols.saml.algorithms import AlgorithmPolicy  # noqa: PLC0415
    from broker.protocols.saml.conditions import Profile, SamlOptions  # noqa: PLC0415

    sha1, cbc = allowed
    policy = AlgorithmPolicy(allow_sha1=sha1, allow_cbc=cbc)
    return SamlOptions(profile=Profile(profile), algorithms=policy)


@remembered()
def _oidc_options(
    algorithms: frozenset[str],
    profile: str,
    one_time_use: bool,  # noqa: FBT001  # the cache's key
) -> "VerifyOptions":
    from broker.protocols.oidc.algorithms import ALGORITHM_NAMES  # noqa: PLC0415
    from broker.protocols.oidc.verify import VerifyOptions  # noqa: PLC0415

    return VerifyOptions(algorithms or ALGORITHM_NAMES, profile == "aws", one_time_use)


_NOTHING_SET = ProviderOptions()
_BY_ATTRIBUTE: Mapping[str, Option[Any]] = dict(
    zip(ProviderOptions.__struct_fields__, _DESCRIBED, strict=True)
)
OPTIONS = tuple(_BY_ATTRIBUTE.values())
OPTIONS_OF: Mapping[type[Provider], Mapping[str, Option[Any]]] = {
    kind: {option.name: option for option in OPTIONS if kind in option.place.kinds}
    for kind in (SamlProvider, OidcProvider, LdapProvider)
}
"""The options that each kind of provider can have, by name."""


async def find_provider(
    directory: Finder, account: AccountId, arn: str
) -> Provider | None:
    """The provider of an account that has the name in an ARN."""
    kind, _, name = arn.split(":", 5)[-1].partition("/")
    stored = _IN_ARNS.get(kind)
    return await directory.named(stored, account, name) if stored else None


def _read_text(provider: Provider, name: str, text: str) -> object:
    known = OPTIONS_OF[type(provider)]
    if len(text) > types.TEXT_MAX:
        raise ValueError(f"{name} is longer than {types.TEXT_MAX} characters")
    try:
        return known[name].type.from_text(text) if text else None
    except ValueError as error:
        raise ValueError(f"{name} is {error}") from error


def option_text(value: object) -> str:
    """A value as the text that `set_options` reads."""
    match value:
        case bool():
            return "true" if value else "false"
        case list() | tuple() | frozenset():
            return ", ".join(map(str, value))
        case Mapping():
            return json.dumps(value, indent=2, ensure_ascii=False)
        case _:
            return str(value)


def shown_options(options: Mapping[str, object]) -> dict[str, object]:
    """Options for display, without secrets, sealed or not."""
    return {
        name: SEALED if name == SECRET and value is not None else value
        for name, value in options.items()
    }


def set_options(
    provider: P, texts: Mapping[str, str], sealer: Sealer
) -> tuple[P, dict[str, object]]:
    """The provider with known options set as texts say, and what they say.

    An empty text removes its option, which is then None in what they say. The secret
    stays when its text is ``(sealed)``.

    Raises:
        ValueError: An option is malformed, or they do not go together.
    """
    params = {
        name: _read_text(provider, name, text)
        for name, text in texts.items()
        if (name, text) != (SECRET, SEALED)
    }
    if isinstance(provider, OidcProvider) and (secret := params.get(SECRET)):
        purpose, column = CLIENT_SECRET_SEAL
        sealed = sealer.seal(
            purpose, provider.account, provider.unique_id, column, str(secret).encode()
        )
        params[SECRET] = base64.b64encode(sealed).decode("ascii")
    merged = {**provider.options, **params}
    options = {name: value for name, value in merged.items() if value is not None}
    check_options(options)
    return replace(provider, options=options), params


def check_template_options(kind: type[Provider], options: Mapping[str, object]) -> None:
    """Check the options that a template gives to a provider of this kind.

    Raises:
        ValueError: One is unknown, secret or wrong; the text says how to fix it.
    """
    known = OPTIONS_OF[kind]
    for name in options:
        if name not in known:
            raise ValueError(f"{name} is not an option; {suggest(name, known)}")
    if SECRET in options:
        raise ValueError(
            f"{SECRET} cannot be in a template: set it with broker providers set ARN"
            f" {SECRET}=@FILE"
        )
    check_options(options)


def check_options(options: Mapping[str, object]) -> None:
    """Check a provider's options together.

    Raises:
        ValueError: One is wrong; the text says which and how to fix it.
    """
    provider_options = ProviderOptions.parse(options)
    _check_published(provider_options)
    if provider_options.watch and not provider_options.client_id:
        raise ValueError("Watch is for sign-ins that begin here; set ClientId, too")
    if "WatchSeconds" in options and not provider_options.watch:
        raise ValueError("WatchSeconds says nothing without Watch=RefreshToken")
    if provider_options.static_jwks:
        _check_keys(provider_options.static_jwks)


def _check_published(options: ProviderOptions) -> None:
    url = urlsplit(options.metadata_url)
    if options.metadata_url and (
        url.scheme not in {"https", "http"}
        or not url.hostname
        or url.username is not None
        or len(options.metadata_url) > _URL_MAX
    ):
        raise ValueError("MetadataUrl must be an https URL without a user name")
    if not options.metadata_url and (
        options.metadata_certificate or options.metadata_trust_tls
    ):
        raise ValueError(
            "MetadataCertificate and MetadataTrustTls say how to trust what"
            " MetadataUrl brings; set that, too"
        )
    if options.metadata_certificate and options.metadata_trust_tls:
        raise ValueError("MetadataCertificate and MetadataTrustTls exclude each other")
    if url.scheme == "http" and not options.metadata_certificate:
        raise ValueError(
            "MetadataUrl with http needs MetadataCertificate: without TLS only a document"
            " that it signed is taken. Set it, or use https"
        )
    if options.metadata_certificate:
        from broker.protocols.saml.errors import MetadataRejected  # noqa: PLC0415
        from broker.protocols.saml.published_metadata import parse_signers  # noqa: PLC0415

        try:
            parse_signers(options.metadata_certificate)
        except MetadataRejected as error:
            raise ValueError(f"MetadataCertificate: {error.message}") from error


def _check_keys(text: str) -> None:
    from broker.protocols.oidc.jwks import parse_jwks  # noqa: PLC0415
    from broker.protocols.oidc.rejection import OidcRejected  # noqa: PLC0415

    try:
        keys = parse_jwks(text.encode("utf-8", "replace"))
    except OidcRejected as error:
        raise ValueError(f"StaticJwks: {error.detail}") from error
    published = json.loads(text)["keys"]
    if any(isinstance(jwk, dict) and _PRIVATE & jwk.keys() for jwk in published):
        raise ValueError("StaticJwks has a private key; write public keys only")
    if not keys.keys:
        why = "; ".join(keys.skipped) or "it is empty"
        raise ValueError(f"StaticJwks has no key that can be used: {why:.400}")
