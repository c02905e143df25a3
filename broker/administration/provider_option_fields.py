"""How the form shows a provider's broker-only options: groups, labels and hints."""

from dataclasses import dataclass

from broker.federation.provider_options import SECRET


@dataclass(frozen=True, slots=True)
class OptionField:
    """An option in the form; ``kind`` is text, area, flag, profile or secret."""

    name: str
    label: str
    hint: str
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class OptionGroup:
    """Options that belong together."""

    title: str
    fields: tuple[OptionField, ...]


_GROUPS = OptionGroup(
    "Roles by group",
    (
        OptionField(
            "GroupAttribute",
            "Attribute or claim with the groups",
            "For identity providers that cannot send role ARNs.",
        ),
        OptionField(
            "GroupRoles",
            "Roles of each group, as JSON",
            '{"Engineering": ["arn:aws:iam::123456789012:role/Developer"]}',
            "area",
        ),
    ),
)
_SCIM = OptionGroup(
    "People and groups by SCIM",
    (
        OptionField(
            "ScimSubject",
            "Attribute that identifies a person",
            "userName, externalId or emails. If set, only people whom the directory"
            " provisions as active can sign in.",
        ),
        OptionField(
            "ScimClaim",
            "Claim or SAML attribute to compare it with",
            "The NameID or sub if empty; for Entra ID with OpenID Connect: oid.",
        ),
        OptionField(
            "ScimGroups",
            "Source of the groups for roles",
            "displayName or externalId of the directory's groups, or asserted: those of"
            " the proof. displayName if empty.",
        ),
        OptionField(
            "ScimUnknown",
            "People who are not in the directory",
            "refuse or allow; refuse if empty.",
        ),
    ),
)
_PROFILE = OptionField(
    "Profile",
    "Rules",
    "“As AWS” accepts what AWS accepts where the broker is stricter. Signatures,"
    " algorithms, recipients and expiry are checked either way.",
    "profile",
)
SAML = (
    OptionGroup(
        "Sign-in page",
        (
            OptionField(
                "SignIn",
                "Offer this provider on the sign-in page",
                "People start here, and the broker sends a signed request.",
                "flag",
            ),
        ),
    ),
    OptionGroup(
        "Published metadata",
        (
            OptionField(
                "MetadataUrl",
                "Metadata URL",
                "It is reread regularly, so that key rotation interrupts nothing.",
            ),
            OptionField(
                "MetadataCertificate",
                "Certificates of its signers, in PEM",
                "Needed with http; else, without them, a key that is registered signs it.",
                "area",
            ),
            OptionField(
                "MetadataTrustTls",
                "Trust an unsigned document on the strength of TLS",
                "Anyone who controls that server or its name can then replace the keys.",
                "flag",
            ),
        ),
    ),
    _GROUPS,
    _SCIM,
    OptionGroup(
        "What is accepted",
        (
            _PROFILE,
            OptionField(
                "Audiences",
                "Further audiences",
                "Separated by commas, such as AWS's own.",
            ),
            OptionField(
                "Recipients",
                "Further recipients",
                "Separated by commas: addresses besides this broker's.",
            ),
            OptionField(
                "MintPerDoor",
                "A response may be used once for the console and once at the API",
                "For programs that do both with the same one.",
                "flag",
            ),
            OptionField(
                "ExchangeTwice",
                "A response may be exchanged a second time within a minute",
                "For programs that try it once as a test.",
                "flag",
            ),
            OptionField(
                "LegacyRsa",
                "Accept RSA keys of 1,024 bits",
                "Weak. Replace the key instead, if you can.",
                "flag",
            ),
            OptionField(
                "AllowSha1",
                "Accept SHA-1 signatures",
                "Collisions can forge these.",
                "flag",
            ),
            OptionField(
                "AllowCbc",
                "Accept AES-CBC encryption in a signed response",
                "Malleable. Use AES-GCM instead, if you can.",
                "flag",
            ),
        ),
    ),
)
OIDC = (
    OptionGroup(
        "Sign-in page",
        (
            OptionField(
                "ClientId",
                "Client ID",
                "With it, the sign-in page offers this provider.",
            ),
            OptionField(
                SECRET,
                "Client secret",
                "Stored encrypted and never shown. Leave it as it is to keep it.",
                "secret",
            ),
            OptionField(
                "Scopes",
                "Scopes to ask for",
                "Separated by commas; openid if empty.",
            ),
            OptionField(
                "NameClaims",
                "Claims that identify one person",
                "Separated by commas, best first; sessions are named after them.",
            ),
        ),
    ),
    _GROUPS,
    _SCIM,
    OptionGroup(
        "What is accepted",
        (
            _PROFILE,
            OptionField(
                "OneTimeUse",
                "A token can be used only once",
                "Not for workloads that read the same token file again.",
                "flag",
            ),
            OptionField(
                "Algorithms",
                "Signature algorithms",
                "Separated by commas, such as RS256, ES256; all safe ones if empty.",
            ),
            OptionField(
                "ClaimKeys",
                "Claims that become condition keys",
                "Separated by commas.",
            ),
            OptionField(
                "StaticJwks",
                "Keys, as a JWK set",
                "Used instead of fetching them from the issuer.",
                "area",
            ),
        ),
    ),
)
