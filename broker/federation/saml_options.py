"""The broker-only options of a SAML provider, as its operator sets them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self
from urllib.parse import urlsplit

from broker.federation.group_roles import GroupRoles
from broker.federation.scim_options import ScimOptions
from broker.protocols.saml.algorithms import AlgorithmPolicy
from broker.protocols.saml.errors import MetadataRejected
from broker.protocols.saml.expectations import Profile, SamlOptions
from broker.protocols.saml.published_metadata import parse_signers

_URL_MAX = 2048


@dataclass(frozen=True, kw_only=True)
class SamlProviderOptions:
    """What ``SamlProvider.options`` may hold. Every key is optional.

    ``Profile``: ``strict`` (default) or ``aws``, see `Profile`.
    ``AllowSha1``: accepts RSA-SHA1 and SHA-1 digests, which collisions can forge.
    ``AllowCbc``: takes AES-CBC under a signed Response; malleable otherwise.
    ``LegacyRsa``: takes RSA keys of 1024 bits and more in the metadata. ``Audiences``,
    ``Recipients``: lists of further names and addresses that count as ours for this
    provider, such as AWS's own. ``MintPerDoor``: an assertion may be used once at each
    door, for programs that use the same one to sign a person in and to get credentials;
    otherwise once in all. ``ExchangeTwice``: at each such door, and for each role, an
    assertion may be used a second time within a minute of its issue, for programs that
    exchange it once as a test. ``SignIn``: the sign-in page offers this provider, with
    a signed request to it. ``GroupRoles``, ``GroupAttribute``: roles by group, see
    `GroupRoles`; without a RoleSessionName such sessions are named after the NameID.
    ``MetadataUrl``: where the provider publishes its metadata, read again and again.
    ``MetadataCertificate``: who signs it, as certificates in PEM; without it the
    document must be signed by a key that is registered for the provider.
    ``MetadataTrustTls``: accepts an unsigned document on the strength of TLS alone:
    control of that server, or of its name, is then enough to replace the keys.
    ``ScimSubject`` and what goes with it: see `ScimOptions`.
    """

    profile: Profile = Profile.STRICT
    allow_sha1: bool = False
    allow_cbc: bool = False
    legacy_rsa: bool = False
    audiences: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    mint_per_door: bool = False
    exchange_twice: bool = False
    sign_in: bool = False
    group_roles: GroupRoles | None = None
    metadata_url: str = ""
    metadata_certificate: str = ""
    metadata_trust_tls: bool = False
    scim: ScimOptions | None = None

    @classmethod
    def parse(cls, options: Mapping[str, object]) -> Self:
        """Read the mapping; keys of other features are ignored.

        Raises:
            ValueError: a value of the wrong type, naming the key.
        """
        try:
            profile = Profile(str(options.get("Profile", Profile.STRICT)))
        except ValueError as error:
            raise ValueError("Profile must be strict or aws") from error
        return cls(
            profile=profile,
            allow_sha1=_flag(options, "AllowSha1"),
            allow_cbc=_flag(options, "AllowCbc"),
            legacy_rsa=_flag(options, "LegacyRsa"),
            audiences=_texts(options, "Audiences"),
            recipients=_texts(options, "Recipients"),
            mint_per_door=_flag(options, "MintPerDoor"),
            exchange_twice=_flag(options, "ExchangeTwice"),
            sign_in=_flag(options, "SignIn"),
            group_roles=GroupRoles.parse(options),
            metadata_url=_text(options, "MetadataUrl"),
            metadata_certificate=_text(options, "MetadataCertificate"),
            metadata_trust_tls=_flag(options, "MetadataTrustTls"),
            scim=ScimOptions.parse(options),
        )

    @cached_property
    def protocol(self) -> SamlOptions:
        """The options that verification needs."""
        return SamlOptions(
            profile=self.profile,
            algorithms=AlgorithmPolicy(
                allow_sha1=self.allow_sha1, allow_cbc=self.allow_cbc
            ),
        )


def check_saml_options(options: Mapping[str, object]) -> None:
    """Check the options together, when they are set.

    Raises:
        ValueError: says which one is wrong and what to write.
    """
    given = SamlProviderOptions.parse(options)
    url = urlsplit(given.metadata_url)
    if given.metadata_url and (
        url.scheme not in {"https", "http"}
        or not url.hostname
        or url.username is not None
        or len(given.metadata_url) > _URL_MAX
    ):
        raise ValueError("MetadataUrl must be an https URL without a user name")
    if not given.metadata_url and (
        given.metadata_certificate or given.metadata_trust_tls
    ):
        raise ValueError(
            "MetadataCertificate and MetadataTrustTls say how to trust what"
            " MetadataUrl brings; set that, too"
        )
    if given.metadata_certificate and given.metadata_trust_tls:
        raise ValueError("MetadataCertificate and MetadataTrustTls exclude each other")
    if url.scheme == "http" and not given.metadata_certificate:
        raise ValueError(
            "MetadataUrl with http needs MetadataCertificate: without TLS only a document"
            " that it signed is taken. Set it, or use https"
        )
    if given.metadata_certificate:
        try:
            parse_signers(given.metadata_certificate)
        except MetadataRejected as error:
            raise ValueError(f"MetadataCertificate: {error.message}") from error


def _text(options: Mapping[str, object], key: str) -> str:
    value = options.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a text")  # noqa: TRY004  # one error
    return value


def _flag(options: Mapping[str, object], key: str) -> bool:
    value = options.get(key, False)
    if not isinstance(value, bool):
        raise ValueError(f"{key} must be true or false")  # noqa: TRY004  # one error
    return value


def _texts(options: Mapping[str, object], key: str) -> frozenset[str]:
    value = options.get(key, ())
    if not isinstance(value, list | tuple):
        raise ValueError(f"{key} must be a list")  # noqa: TRY004  # one error
    texts = frozenset(text for text in value if isinstance(text, str) and text)
    if len(texts) != len(value):
        raise ValueError(f"{key} must hold texts, each once")
    return texts
